// Everything that answers questions, put together. The fields are the
// architecture: who is below stands above.
#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>

#include "common/beast_https.h"
#include "common/getdns_resolver.h"
#include "common/loop_clock.h"
#include "common/metrics.h"

#include "policy-daemon/configuration.h"
#include "policy-daemon/dane_lookup.h"
#include "policy-daemon/durable_store.h"
#include "policy-daemon/finding_reporter.h"
#include "policy-daemon/outage_watch.h"
#include "policy-daemon/policy_fetcher.h"
#include "policy-daemon/policy_service.h"
#include "policy-daemon/refresher.h"
#include "policy-daemon/sts_lookup.h"

namespace postern {

class Engine {
 public:
  // What policies are remembered in.
  enum class Memory {
    kOwn,     // cache.directory is ours
    kBeside,  // a daemon's, if there is one: read, never written
  };
  // `loop` outlives the engine, and must not run any more when it goes.
  static Result<std::unique_ptr<Engine>> Create(boost::asio::io_context& loop,
                                                Configuration configuration,
                                                Memory memory);

  // Takes up a new configuration; memory stays. After an Error all is as it
  // was.
  Status Use(Configuration configuration);

  // Outside: time, DNS, HTTPS, the disk.
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<LoopClock> clock;
  std::unique_ptr<GetdnsResolver> resolver;
  BeastHttps https;
  DurableStore store;
  FindingReporter findings;
  OutageWatch outage;
  // Facts are gathered, kept fresh, decided, and answered.
  PolicyFetcher fetcher;
  Refresher refresher;
  StsLookup sts;
  DaneLookup dane;
  PolicyService service;

 private:
  struct Outside {
    std::unique_ptr<Metrics> metrics;
    std::unique_ptr<LoopClock> clock;
    std::unique_ptr<GetdnsResolver> resolver;
    std::unique_ptr<PolicyFile> file;  // null: beside
    std::unique_ptr<PolicyFileBeside> beside;
  };
  Engine(boost::asio::io_context& loop, const Configuration& configuration,
         Outside outside);

  Options::Dns dns_;  // in use
};

// The file of remembered policies.
std::string PolicyFilePath(const Options& options);

}  // namespace postern
