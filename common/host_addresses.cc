#include "common/host_addresses.h"

#include <algorithm>

namespace postern {
namespace {

// How long the slower of A and AAAA is waited for when the other is there.
constexpr Seconds kLateFamily{1};
constexpr size_t kMaxAddresses = 16;
constexpr size_t kMaxListed = 4;

// One of each in turn.
std::vector<IpAddress> Alternated(const std::vector<IpAddress>& first,
                                  const std::vector<IpAddress>& second) {
  std::vector<IpAddress> both;
  for (size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) both.push_back(first[i]);
    if (i < second.size()) both.push_back(second[i]);
  }
  return both;
}

}  // namespace

std::string ListOf(const std::vector<IpAddress>& addresses) {
  std::string list;
  for (size_t i = 0; i < addresses.size() && i < kMaxListed; ++i)
    list += (i > 0 ? ", " : "") + addresses[i].ToString();
  if (addresses.size() > kMaxListed) list += ", ...";
  return list;
}

Awaitable<HostAddresses> AddressesOf(boost::asio::any_io_executor executor,
                                     Clock& clock, Resolver& resolver,
                                     std::string host, AddressFilter filter) {
  const auto queries = AskForAddresses(executor, clock, resolver, host);
  co_await queries->one.WaitUntil(clock.Now() + kQueryBound);
  // With an address at hand, a slow other family is not worth the wait.
  co_await queries->both.WaitUntil(clock.Now() + kLateFamily);
  HostAddresses found;
  std::string failure;
  std::vector<IpAddress> v4, v6;
  for (const auto* family : {&queries->v4, &queries->v6}) {
    if (!*family) continue;
    const DnsAnswer& answer = **family;
    if (answer.failed()) failure = answer.failure;
    for (const IpAddress& address : answer.addresses) {
      if (!filter.Allows(address))
        found.not_global.push_back(address);
      else
        (address.v6 ? v6 : v4).push_back(address);
    }
  }
  found.usable = Alternated(v4, v6);
  if (found.usable.size() > kMaxAddresses) found.usable.resize(kMaxAddresses);
  if (found.not_global.size() > kMaxAddresses)
    found.not_global.resize(kMaxAddresses);
  if (!found.usable.empty()) co_return found;
  found.refused = !found.not_global.empty();
  found.lookup_failed = !found.refused && !failure.empty();
  if (found.refused)
    found.problem = host + " has only non-global addresses";
  else if (found.lookup_failed)
    found.problem = "address lookup of " + host + ": " + failure;
  else
    found.problem = host + " has no address";
  co_return found;
}

}  // namespace postern
