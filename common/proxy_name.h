// The name of the HTTP proxy, as sts.proxy has it (pure).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

struct ProxyName {
  std::string host;  // a name in normal form, or an address
  uint16_t port = 0;

  // "proxy.example.net:3128", "192.0.2.1:3128", "[2001:db8::1]:3128".
  static std::optional<ProxyName> Parse(std::string_view text);
};

}  // namespace postern
