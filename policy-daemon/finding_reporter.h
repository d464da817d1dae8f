// FindingReporter: from what a lookup has found, or Postfix's log tells, to an
// outcome in the spool.
//
// Who wants no reports gets none, and no line: only domains with a record at
// _smtp._tls count (RFC 8460 section 3). Whether a failed DNS answer was bogus
// is asked here, too, as mail does not wait for it.
//
// A finding for which no session failed is told once a day: what is found again
// with the same domain, host and type is counted. Findings and sessions wait
// apart, each domain's behind its own (fair_queue.h): a domain whose DNS is
// slow, or which has much to tell of, keeps only itself waiting.
//
// Contract: loop thread only; `record` is called from it.
#pragma once

#include <array>
#include <functional>

#include <boost/unordered/unordered_flat_set.hpp>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/dns.h"
#include "common/metrics.h"
#include "common/utc.h"

#include "policy-daemon/fair_queue.h"
#include "policy-daemon/outcome_sink.h"

namespace postern {

class FindingReporter final : public OutcomeSink {
 public:
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    Resolver& resolver;
    Metrics& metrics;
    // Who pays for a domain; nullptr: itself.
    std::function<std::string(const std::string& domain)> owner_of{};
  };
  // Everything given by reference outlives the reporter, which outlives the
  // loop's run.
  explicit FindingReporter(const World& world);

  // Where outcomes go from now on; before, they go nowhere.
  void RecordTo(std::function<void(Outcome)> record);

  void Record(Finding finding) override;
  // Sessions that the log tells of.
  void RecordSession(Outcome outcome);

  // Something is on its way.
  bool busy() const { return findings_.running + sessions_.running > 0; }
  // Counts that as dropped; how much it is.
  size_t GiveUp();

 private:
  static constexpr size_t kResultTypes =
      static_cast<size_t>(ResultType::kDaneRequired) + 1;
  // What waits of one sort, and who works it off.
  struct Lane {
    FairQueue<Finding> queue;
    size_t running = 0;  // of ReportOn()
  };

  void Add(Lane& lane, Finding finding);
  Awaitable<void> ReportOn(Lane& lane);
  Awaitable<void> Report(Finding finding, std::string record);
  // Whether it was told today; `note`: it is, now.
  bool IsTold(const Outcome& outcome, bool note);

  World world_;
  std::function<void(Outcome)> record_;
  Lane findings_;
  Lane sessions_;
  // By hash: of two that share one, one is not told that day.
  boost::unordered_flat_set<size_t> told_;
  Day told_on_{};
  std::array<prometheus::Counter*, kResultTypes> found_{};
  prometheus::Counter& repeated_;
  prometheus::Counter& dropped_;
};

// The record of `domain` that says where reports go; "": it wants none, or has
// two (section 3), or DNS failed.
Awaitable<std::string> FindTlsrptRecord(Resolver& resolver, std::string domain);

}  // namespace postern
