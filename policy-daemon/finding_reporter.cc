#include "policy-daemon/finding_reporter.h"

#include <map>
#include <utility>

#include <boost/container_hash/hash.hpp>

#include "common/clean_text.h"
#include "common/outcome_bounds.h"
#include "common/tag_list.h"

namespace postern {
namespace {

// Owners looked up at once, of findings and of sessions.
constexpr size_t kMaxRunning = 100;
// A flood of broken domains is reported as far as this goes.
constexpr size_t kMaxWaitingBytes = 16 << 20;
// Told in one day; beyond it, all may be told again.
constexpr size_t kMaxTold = 100000;

}  // namespace

FindingReporter::FindingReporter(const World& world)
    : world_(world),
      findings_{FairQueue<Finding>(kMaxWaitingBytes)},
      sessions_{FairQueue<Finding>(kMaxWaitingBytes)},
      repeated_(world.metrics.Counter(
          "postern_findings_repeated_total",
          "Failures found by policy lookups that were told of on the same "
          "day")),
      dropped_(world.metrics.Counter(
          "postern_findings_dropped_total",
          "Failures found by policy lookups, and sessions of the log, that "
          "there was no time to report")) {
  for (size_t i = 0; i < kResultTypes; ++i)
    found_[i] = &world.metrics.Counter(
        "postern_findings_total", "Failures found by policy lookups",
        {{"type", ResultTypeName(static_cast<ResultType>(i))}});
}

void FindingReporter::RecordTo(std::function<void(Outcome)> record) {
  record_ = std::move(record);
}

void FindingReporter::Record(Finding finding) {
  if (!record_) return;
  const Outcome& outcome = finding.outcome;
  found_[static_cast<size_t>(outcome.failure_details[0].result_type)]
      ->Increment();
  if (IsTold(outcome, false)) return repeated_.Increment();
  Add(findings_, std::move(finding));
}

void FindingReporter::RecordSession(Outcome outcome) {
  Add(sessions_, {std::move(outcome), std::nullopt});
}

void FindingReporter::Add(Lane& lane, Finding finding) {
  const std::string domain = finding.outcome.domain;
  const std::string owner = world_.owner_of ? world_.owner_of(domain) : domain;
  const size_t bytes = MemoryOf(finding.outcome);
  const size_t dropped = lane.queue.Add(owner, std::move(finding), bytes);
  dropped_.Increment(static_cast<double>(dropped));
  if (!lane.queue.has_turn() || lane.running >= kMaxRunning) return;
  ++lane.running;
  Spawn(world_.executor, ReportOn(lane));
}

size_t FindingReporter::GiveUp() {
  const size_t left = findings_.queue.items() + sessions_.queue.items();
  dropped_.Increment(static_cast<double>(left));
  return left;
}

bool FindingReporter::IsTold(const Outcome& outcome, bool note) {
  if (outcome.failed > 0 || outcome.source != OutcomeSource::kPolicy)
    return false;
  const Day today = DayOf(world_.clock.WallNow());
  if (std::exchange(told_on_, today) != today || told_.size() >= kMaxTold)
    told_.clear();
  const FailureDetail& detail = outcome.failure_details[0];
  size_t hash = static_cast<size_t>(detail.result_type);
  boost::hash_combine(hash, outcome.domain);
  boost::hash_combine(hash, outcome.policy_domain);
  boost::hash_combine(hash, detail.receiving_mx_hostname);
  return note ? !told_.insert(hash).second : told_.contains(hash);
}

Awaitable<void> FindingReporter::ReportOn(Lane& lane) {
  struct Ending {
    ~Ending() { --running; }
    size_t& running;
  };
  const Ending ending{lane.running};
  while (auto taken = lane.queue.Take()) {
    struct Work {
      ~Work() { queue.Done(owner); }
      FairQueue<Finding>& queue;
      const std::string& owner;
    };
    const Work work{lane.queue, taken->owner};
    // One lookup for all of a domain that have come.
    std::map<std::string, std::string> records;
    for (Finding& finding : taken->items) {
      const std::string domain = finding.outcome.domain;
      if (!records.contains(domain)) {
        std::string found = co_await FindTlsrptRecord(world_.resolver, domain);
        records[domain] = std::move(found);
      }
      std::string record = records[domain];
      if (record.empty()) continue;
      Finding one = std::move(finding);
      co_await Report(std::move(one), std::move(record));
    }
  }
}

Awaitable<void> FindingReporter::Report(Finding finding, std::string record) {
  Outcome outcome = std::move(finding.outcome);
  outcome.record = std::move(record);
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
  if (IsTold(outcome, true)) {
    repeated_.Increment();
    co_return;
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
  std::string whole;
  WholeTextInto(whole, record, kMaxRecordBytes);
  co_return whole;
}

}  // namespace postern
