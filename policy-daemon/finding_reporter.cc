#include "policy-daemon/finding_reporter.h"

#include <utility>

#include "common/clean_text.h"
#include "common/outcome_bounds.h"
#include "common/tag_list.h"

namespace postern {
namespace {

// Lookups at once.
constexpr size_t kMaxRunning = 100;
// A flood of broken domains is reported as far as this goes.
constexpr size_t kMaxWaitingBytes = 16 << 20;

}  // namespace

FindingReporter::FindingReporter(const World& world)
    : world_(world),
      dropped_(world.metrics.Counter(
          "postern_findings_dropped_total",
          "Failures found by policy lookups, and sessions of the log, that "
          "there was no time to report")) {}

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
  Add(std::move(finding));
}

void FindingReporter::RecordSession(Outcome outcome) {
  Add({std::move(outcome), std::nullopt});
}

void FindingReporter::Add(Finding finding) {
  if (waiting_bytes_ >= kMaxWaitingBytes) return dropped_.Increment();
  waiting_bytes_ += MemoryOf(finding.outcome);
  waiting_.push_back(std::move(finding));
  if (running_ >= kMaxRunning) return;
  ++running_;
  Spawn(world_.executor, ReportOn());
}

size_t FindingReporter::GiveUp() {
  const size_t left = waiting_.size() + running_;
  dropped_.Increment(static_cast<double>(left));
  return left;
}

Awaitable<void> FindingReporter::ReportOn() {
  struct Ending {
    ~Ending() { --running; }
    size_t& running;
  };
  const Ending ending{running_};
  while (!waiting_.empty()) {
    Finding finding = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= MemoryOf(finding.outcome);
    co_await Report(std::move(finding));
  }
}

Awaitable<void> FindingReporter::Report(Finding finding) {
  Outcome outcome = std::move(finding.outcome);
  outcome.record = co_await FindTlsrptRecord(world_.resolver, outcome.domain);
  if (outcome.record.empty()) co_return;
  if (finding.if_bogus) {
    const DnsQuestion& question = *finding.if_bogus;
    const DnsAnswer unchecked =
        co_await world_.resolver.QueryUnchecked(question.name, question.type);
    if (unchecked.failed()) co_return;  // its servers fail
    // It may only have been a bad moment.
    const DnsAnswer again =
        co_await world_.resolver.Query(question.name, question.type);
    if (!again.servfail) co_return;
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
  // A cut one would name somebody else's address.
  if (record.size() > kMaxRecordBytes) co_return "";
  co_return CleanText(record, kMaxRecordBytes);
}

}  // namespace postern
