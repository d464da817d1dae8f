// Finds the MTA-STS policy that is in force for a domain (RFC 8461 section 3).
//
// Order: what is remembered, the TXT record, the policy file where it is due.
// A remembered policy is never waited for: it applies at once, and a changed
// id only starts a fetch in the background (its age is the Refresher's
// business). Without one, the caller waits for the fetch; one that failed is
// remembered for 24 h per id, during which nobody waits and a repeat runs at
// most once in 5 minutes.
//
// Contract: loop thread only.
#pragma once

#include <functional>
#include <string>

#include "common/dns.h"
#include "common/metrics.h"

#include "policy-daemon/facts.h"
#include "policy-daemon/policy_fetcher.h"
#include "policy-daemon/policy_store.h"

namespace postern {

class StsLookup {
 public:
  // Everything given by reference outlives the lookup.
  struct World {
    Clock& clock;
    Resolver& resolver;
    PolicyStore& store;
    PolicyFetcher& fetcher;
    Metrics& metrics;
  };
  explicit StsLookup(World world);

  // Gathers the facts about `domain`. `publish` is called with each stage,
  // the last one complete; it must stay callable until the coroutine ends.
  using Publish = std::function<void(const StsFacts&)>;
  Awaitable<void> Run(std::string domain, Publish publish);

 private:
  void NoteTxtFailure(const std::string& domain, const std::string& reason);

  World world_;
  LogLimiter txt_log_;
  prometheus::Counter& txt_failures_;
};

// RFC 8461 section 3.1: the TXT fields of the facts, from the answer.
void ReadStsRecord(const DnsAnswer& answer, StsFacts& facts);

// When the TXT record is looked at again while the domain is in use: its TTL,
// within 5 min and 1 h.
Seconds StsRecheckAfter(const StsFacts& facts);

}  // namespace postern
