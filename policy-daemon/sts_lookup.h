// Finds the MTA-STS policy that is in force for a domain (RFC 8461 section 3).
//
// Order: what is remembered, the TXT record, the policy file where it is due.
// A remembered policy is never waited for: it applies at once, and a changed
// id or its age only starts a fetch in the background. Without one, the
// caller waits for the fetch; one that failed is remembered for 24 h per id,
// during which nobody waits and a repeat runs at most once in 5 minutes.
//
// Contract: loop thread only; one fetch in flight a domain, at most
// `max_fetches` in all and kMaxFetchesPerAddress to one server address.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/dns.h"
#include "common/event.h"
#include "common/gate.h"
#include "common/https.h"
#include "common/metrics.h"

#include "policy-daemon/address_queries.h"
#include "policy-daemon/facts.h"
#include "policy-daemon/outcome_sink.h"
#include "policy-daemon/policy_store.h"

namespace postern {

struct StsSettings {
  uint16_t port = 443;
  Seconds fetch_timeout{60};
  size_t max_fetches = 1000;
  AddressFilter address_filter;
};

class StsLookup {
 public:
  // Everything given by reference outlives the lookup.
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    Resolver& resolver;
    HttpsClient& https;
    PolicyStore& store;
    OutcomeSink& outcomes;
    Metrics& metrics;
  };
  StsLookup(World world, StsSettings settings);

  // Gathers the facts about `domain`. `publish` is called with each stage,
  // the last one complete; it must stay callable until the coroutine ends.
  using Publish = std::function<void(const StsFacts&)>;
  Awaitable<void> Run(std::string domain, Publish publish);

  // A slow fetch holds mail at most once per (domain, id). True for a
  // question that came before the first TEMP on this account: hold it.
  bool MayHold(const std::string& domain, SteadyTime asked_at);
  // True if a question asked now need not wait for the fetch in flight.
  bool HasHeld(const std::string& domain) const;

  // Fetches that run or wait for their turn.
  size_t fetches_in_flight() const { return in_flight_.size(); }

 private:
  struct Fetched {
    std::optional<StoredPolicy> stored;  // empty: it failed
    std::string reason;                  // why it failed
    ResultType type = ResultType::kStsPolicyFetchError;
    bool crowded = false;  // no request was made: not the domain's fault
  };
  // Owned by the fetch and by everyone who waits for it.
  struct InFlight {
    InFlight(boost::asio::any_io_executor executor, Clock& clock)
        : done(std::move(executor), clock) {}
    Event done;
    Fetched result;
    bool awaited = false;               // a question waits for it
    std::optional<SteadyTime> held_at;  // when the first TEMP was given for it
  };

  void NoteTxtFailure(const std::string& domain, const std::string& reason);

  // Joins the domain's fetch, or starts it. `failure`: what is remembered of
  // the same id.
  std::shared_ptr<InFlight> StartFetch(const std::string& domain,
                                       const std::string& id,
                                       std::optional<FailedFetch> failure);
  Awaitable<void> RunFetch(std::string domain, std::string id,
                           std::optional<FailedFetch> failure,
                           std::shared_ptr<InFlight> flight);
  void NoteFetchFailure(const std::string& domain, const std::string& id,
                        const std::optional<FailedFetch>& failure,
                        const InFlight& flight);
  Awaitable<Fetched> Fetch(std::string domain, std::string id);
  struct HostAddresses {
    std::vector<IpAddress> usable;
    std::string problem;  // why there is none
  };
  Awaitable<HostAddresses> AddressesOf(std::string host);
  Fetched Judge(const HttpsResponse& response, const std::string& id);
  StoredPolicy MakeStored(StsPolicy policy, std::string id);

  World world_;
  StsSettings settings_;
  std::mt19937_64 random_;
  boost::unordered_flat_map<std::string, std::shared_ptr<InFlight>> in_flight_;
  Gate<int> all_fetches_;
  Gate<IpAddress> fetches_by_address_;
  LogLimiter txt_log_;
  LogLimiter fetch_log_;
  prometheus::Counter& fetched_;
  prometheus::Counter& failed_;
  prometheus::Counter& txt_failures_;
  prometheus::Gauge& fetching_;
};

}  // namespace postern
