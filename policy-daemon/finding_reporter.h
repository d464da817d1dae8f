// FindingReporter: from what a lookup has found, or Postfix's log tells, to an
// outcome in the spool.
//
// Who wants no reports gets none, and no line: only domains with a record at
// _smtp._tls count (RFC 8460 section 3). Whether a failed DNS answer was bogus
// is asked here, too, as mail does not wait for it.
//
// Contract: loop thread only; `record` is called from it.
#pragma once

#include <deque>
#include <functional>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/dns.h"
#include "common/metrics.h"

#include "policy-daemon/outcome_sink.h"

namespace postern {

class FindingReporter final : public OutcomeSink {
 public:
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    Resolver& resolver;
    Metrics& metrics;
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
  bool busy() const { return running_ > 0; }
  // Counts that as dropped; how much it is.
  size_t GiveUp();

 private:
  void Add(Finding finding);
  Awaitable<void> ReportOn();
  Awaitable<void> Report(Finding finding);

  World world_;
  std::function<void(Outcome)> record_;
  std::deque<Finding> waiting_;
  size_t waiting_bytes_ = 0;
  size_t running_ = 0;  // of ReportOn()
  prometheus::Counter& dropped_;
};

// The record of `domain` that says where reports go; "": it wants none, or has
// two (section 3), or DNS failed.
Awaitable<std::string> FindTlsrptRecord(Resolver& resolver, std::string domain);

}  // namespace postern
