#include "common/https_proxy.h"

#include "common/domain_name.h"
#include "common/host_addresses.h"
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

Awaitable<HttpsProxy> FindProxy(boost::asio::any_io_executor executor,
                                Clock& clock, Resolver& resolver,
                                ProxyName name) {
  HttpsProxy proxy;
  proxy.port = name.port;
  const std::string literal =
      name.host == "localhost" ? "127.0.0.1" : name.host;
  if (const auto address = IpAddress::Parse(literal)) {
    proxy.addresses.push_back(*address);
    co_return proxy;
  }
  AddressFilter any;
  any.allow_all = true;
  const HostAddresses found =
      co_await AddressesOf(executor, clock, resolver, name.host, any);
  proxy.addresses = found.usable;
  co_return proxy;
}

}  // namespace postern
