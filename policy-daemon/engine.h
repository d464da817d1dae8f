// Everything that answers questions, put together. The fields are the
// architecture: who is below stands above.
#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>

#include "common/beast_https.h"
#include "common/getdns_resolver.h"
#include "common/loop_clock.h"
#include "common/metrics.h"
#include "common/options.h"

#include "policy-daemon/dane_lookup.h"
#include "policy-daemon/outcome_sink.h"
#include "policy-daemon/policy_service.h"
#include "policy-daemon/policy_store.h"
#include "policy-daemon/sts_lookup.h"

namespace postern {

class Engine {
 public:
  // `loop` outlives the engine, and must not run any more when it goes.
  static Result<std::unique_ptr<Engine>> Create(boost::asio::io_context& loop,
                                                const Options& options);

  // Outside: time, DNS, HTTPS.
  std::unique_ptr<LoopClock> clock;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<GetdnsResolver> resolver;
  std::unique_ptr<BeastHttps> https;
  // What is kept, and what is told.
  MemoryPolicyStore store;
  OutcomeCounter outcomes;
  // Facts are gathered, decided, and answered.
  StsLookup sts;
  DaneLookup dane;
  PolicyService service;

 private:
  struct Outside {
    std::unique_ptr<LoopClock> clock;
    std::unique_ptr<Metrics> metrics;
    std::unique_ptr<GetdnsResolver> resolver;
    std::unique_ptr<BeastHttps> https;
  };
  Engine(boost::asio::io_context& loop, const Options& options,
         Outside outside);
};

}  // namespace postern
