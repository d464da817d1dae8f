// The HTTP proxy of sts.proxy: its name, and where it is.
//
// Why: in some networks HTTPS goes out by a proxy only. Names are still
// resolved and filtered here (host_addresses) before the proxy is asked to
// connect by name; that it may resolve them otherwise is said in
// docs/operations.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/dns.h"
#include "common/https.h"

namespace postern {

struct ProxyName {
  std::string host;  // a name in normal form, or an address
  uint16_t port = 0;

  // "proxy.example.net:3128", "192.0.2.1:3128", "[2001:db8::1]:3128".
  static std::optional<ProxyName> Parse(std::string_view text);
};

// Its addresses, whatever they are: the administrator chose it. None: it was
// not found. `clock` and `resolver` outlive the lookup, which ends by itself.
Awaitable<HttpsProxy> FindProxy(boost::asio::any_io_executor executor,
                                Clock& clock, Resolver& resolver,
                                ProxyName name);

}  // namespace postern
