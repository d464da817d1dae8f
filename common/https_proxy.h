// Where the HTTP proxy of sts.proxy is.
//
// Why: in some networks HTTPS goes out by a proxy only. Names are still
// resolved and filtered here (host_addresses) before the proxy is asked to
// connect by name; that it may resolve them otherwise is said in
// docs/operations.md.
#pragma once

#include "common/dns.h"
#include "common/https.h"
#include "common/proxy_name.h"

namespace postern {

// Its addresses, whatever they are: the administrator chose it. None: it was
// not found. `clock` and `resolver` outlive the lookup, which ends by itself.
Awaitable<HttpsProxy> FindProxy(boost::asio::any_io_executor executor,
                                Clock& clock, Resolver& resolver,
                                ProxyName name);

}  // namespace postern
