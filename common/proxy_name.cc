#include "common/proxy_name.h"

#include "common/domain_name.h"
#include "common/ip_address.h"
#include "common/text.h"

namespace postern {

std::optional<ProxyName> ProxyName::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  const auto port = ParseUint(text.substr(colon + 1), 65535);
  if (!port || *port == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  ProxyName name;
  name.port = static_cast<uint16_t>(*port);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    const auto address = IpAddress::Parse(host);
    if (!address || !address->v6) return std::nullopt;
    name.host = host;
  } else if (const auto address = IpAddress::Parse(host)) {
    if (address->v6) return std::nullopt;
    name.host = host;
  } else if (const auto normal = NormalizeDomain(host)) {
    name.host = *normal;
  } else {
    return std::nullopt;
  }
  return name;
}

}  // namespace postern
