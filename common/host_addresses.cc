#include "common/host_addresses.h"

namespace postern {
namespace {

// How long the slower of A and AAAA is waited for when the other is there.
constexpr Seconds kLateFamily{1};
constexpr size_t kMaxAddresses = 16;

}  // namespace

Awaitable<HostAddresses> AddressesOf(boost::asio::any_io_executor executor,
                                     Clock& clock, Resolver& resolver,
                                     std::string host, AddressFilter filter) {
  const auto queries = AskForAddresses(executor, clock, resolver, host);
  co_await queries->one.WaitUntil(clock.Now() + kQueryBound);
  // With an address at hand, a slow other family is not worth the wait.
  co_await queries->both.WaitUntil(clock.Now() + kLateFamily);
  HostAddresses found;
  std::string failure;
  for (const auto* family : {&queries->v4, &queries->v6}) {
    if (!*family) continue;
    const DnsAnswer& answer = **family;
    if (answer.failed()) failure = answer.failure;
    found.usable.insert(found.usable.end(), answer.addresses.begin(),
                        answer.addresses.end());
  }
  if (found.usable.empty()) {
    found.problem = failure.empty()
                        ? host + " has no address"
                        : "address lookup of " + host + ": " + failure;
    co_return found;
  }
  std::erase_if(found.usable, [&filter](const IpAddress& address) {
    return !filter.Allows(address);
  });
  found.refused = found.usable.empty();
  if (found.refused) found.problem = host + " has only non-global addresses";
  if (found.usable.size() > kMaxAddresses) found.usable.resize(kMaxAddresses);
  co_return found;
}

}  // namespace postern
