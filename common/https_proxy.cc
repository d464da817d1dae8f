#include "common/https_proxy.h"

#include "common/host_addresses.h"

namespace postern {

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
