#include "policy-daemon/finding_reporter.h"

#include <utility>

#include "common/tag_list.h"

namespace postern {
namespace {

// A flood of broken domains is reported as far as this goes.
constexpr size_t kMaxRunning = 100;

}  // namespace

FindingReporter::FindingReporter(const World& world)
    : world_(world),
      dropped_(world.metrics.Counter(
          "postern_findings_dropped_total",
          "Failures found by policy lookups that there was no time to "
          "report")) {}

void FindingReporter::RecordTo(std::function<void(Outcome)> record) {
  record_ = std::move(record);
}

void FindingReporter::Record(Finding finding) {
  if (!record_) return;
  world_.metrics
      .Counter("postern_findings_total", "Failures found by policy lookups",
               {{"type", ResultTypeName(
                             finding.outcome.failure_details[0].result_type)}})
      .Increment();
  if (running_ >= kMaxRunning) return dropped_.Increment();
  ++running_;
  Spawn(world_.executor, Report(std::move(finding)));
}

Awaitable<void> FindingReporter::Report(Finding finding) {
  struct Ending {
    ~Ending() { --running; }
    size_t& running;
  };
  const Ending ending{running_};
  Outcome outcome = std::move(finding.outcome);
  outcome.record = co_await FindTlsrptRecord(world_.resolver, outcome.domain);
  if (outcome.record.empty()) co_return;
  if (finding.if_bogus) {
    const DnsAnswer answer = co_await world_.resolver.QueryUnchecked(
        finding.if_bogus->name, finding.if_bogus->type);
    if (answer.failed()) co_return;  // its servers fail
  }
  outcome.at = world_.clock.WallNow();
  record_(std::move(outcome));
}

Awaitable<std::string> FindTlsrptRecord(Resolver& resolver,
                                        std::string domain) {
  const std::string name = "_smtp._tls." + domain;
  const DnsAnswer answer = co_await resolver.Query(name, DnsType::kTxt);
  std::string record;
  for (const std::string& text : answer.txt) {
    if (!HasVersion(text, "v=TLSRPTv1")) continue;
    if (!record.empty()) co_return "";
    record = text;
  }
  co_return record;
}

}  // namespace postern
