// Keeps remembered policies fresh (RFC 8461 sections 3.3 and 5.1), so that no
// question waits for that and no policy in use lapses.
//
// The agenda is the store's: each domain has a time at which it is looked at
// next. Then its TXT record is asked for; a changed id, or the time to refetch
// whatever the id says, leads to a fetch in the background. A failed fetch is
// repeated after 5 min, 10 min ... 1 h, a failed question after 15 min. Domains
// that no question was about for 30 days are left alone until their policy has
// expired, and the store deletes it.
//
// Contract: loop thread only. At most kAtOnce TXT questions in flight and
// kPerSecond domains a second; fetches have the background's share.
#pragma once

#include <string>

#include <boost/unordered/unordered_flat_set.hpp>

#include "common/dns.h"
#include "common/gate.h"
#include "common/metrics.h"

#include "policy-daemon/facts.h"
#include "policy-daemon/policy_fetcher.h"
#include "policy-daemon/policy_store.h"

namespace postern {

class Refresher {
 public:
  // Everything given by reference outlives the refresher.
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    Resolver& resolver;
    PolicyStore& store;
    PolicyFetcher& fetcher;
    Metrics& metrics;
  };
  explicit Refresher(World world);

  // Works off the agenda, for ever.
  Awaitable<void> Run();

 private:
  Awaitable<void> Refresh(std::string domain);
  // What there is to fetch for `policy`; nullopt: nothing. `facts`: the TXT
  // record.
  std::optional<FetchRequest> DueFetch(const std::string& domain,
                                       const StsMemory& memory,
                                       const StsFacts& facts) const;

  World world_;
  Gate<int> gate_;
  boost::unordered_flat_set<std::string> running_;
  prometheus::Counter& unchanged_;
  prometheus::Counter& fetched_;
  prometheus::Counter& failed_;
  prometheus::Counter& record_failed_;
};

}  // namespace postern
