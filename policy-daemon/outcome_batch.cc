#include "policy-daemon/outcome_batch.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/outcome_bounds.h"
#include "common/outcome_json.h"

namespace postern {
namespace {

constexpr size_t kMaxText = 1 << 20;
constexpr size_t kMaxMerged = 4096;
constexpr size_t kMaxMergedBytes = 4 << 20;
// The memory of such outcomes is kept for the next.
constexpr size_t kUsualBytes = 4096;

bool IsFailure(const Outcome& outcome) {
  return outcome.failed > 0 || !outcome.failure_details.empty();
}

bool HasPolicyText(const Outcome& outcome) {
  return !outcome.policy_string.empty() || !outcome.mx_host.empty();
}

bool IsSameDetail(const FailureDetail& a, const FailureDetail& b) {
  const auto texts = a.texts(), others = b.texts();
  return a.result_type == b.result_type &&
         std::equal(texts.begin(), texts.end(), others.begin(),
                    [](const std::string* one, const std::string* other) {
                      return *one == *other;
                    });
}

bool AreOfOneLine(const Outcome& a, const Outcome& b) {
  const auto policy = [](const Outcome& outcome) {
    return std::tie(outcome.domain, outcome.source, outcome.policy_type,
                    outcome.policy_domain, outcome.policy_string,
                    outcome.mx_host, outcome.record);
  };
  return policy(a) == policy(b) &&
         std::equal(a.failure_details.begin(), a.failure_details.end(),
                    b.failure_details.begin(), b.failure_details.end(),
                    IsSameDetail);
}

// REQUIRES: they are of one line.
void MergeInto(Outcome& sum, const Outcome& outcome) {
  sum.at = std::max(sum.at, outcome.at);
  sum.successful += outcome.successful;
  sum.failed += outcome.failed;
  for (size_t i = 0; i < outcome.failure_details.size(); ++i)
    sum.failure_details[i].failed_session_count +=
        outcome.failure_details[i].failed_session_count;
}

void Multiply(Outcome& outcome, uint64_t times) {
  outcome.successful *= times;
  outcome.failed *= times;
  for (FailureDetail& detail : outcome.failure_details)
    detail.failed_session_count *= times;
}

}  // namespace

void MergedOutcomes::Add(const Outcome& outcome, uint64_t outcomes) {
  outcomes_ += outcomes;
  const Fingerprint policy = Fingerprint::OfPolicy(outcome);
  const Fingerprint print = Fingerprint::OfLine(outcome, policy);
  const size_t place = places_.try_emplace(print.hash(), count_).first->second;
  if (place < count_ && AreOfOneLine(merged_[place].outcome, outcome)) {
    MergeInto(merged_[place].outcome, outcome);
    merged_[place].outcomes += outcomes;
    return;
  }
  if (count_ == merged_.size()) merged_.emplace_back();
  merged_[count_].outcome = outcome;
  merged_[count_].outcomes = outcomes;
  merged_[count_].policy = policy;
  ++count_;
  bytes_ += print.bytes();
}

bool MergedOutcomes::full() const {
  return count_ >= kMaxMerged || bytes_ >= kMaxMergedBytes;
}

void MergedOutcomes::Clear() {
  for (Merged& one : items())
    if (MemoryOf(one.outcome) > kUsualBytes) one = {};
  count_ = bytes_ = 0;
  outcomes_ = 0;
  places_.clear();
}

void OutcomeBatch::Add(Outcome&& outcome, uint64_t times) {
  BoundOutcome(outcome);
  budget_.Begin(outcome.at);
  if (!IsFailure(outcome)) {
    Multiply(outcome, times);
    merged_.Add(outcome, times);
    return;
  }
  const Fingerprint policy = Fingerprint::OfPolicy(outcome);
  const auto verdict = budget_.Judge(outcome, policy, times);
  for (uint64_t i = 0; i < verdict.own_lines; ++i, --times) {
    if (!budget_.HasRoom(outcome)) break;
    Write(outcome, policy, 1, false);
  }
  if (times == 0) return;
  Multiply(outcome, times);
  if (!budget_.HasRoom(outcome)) return HoldSum(outcome, times);
  if (!verdict.keeps_details) MergeDetails(outcome);
  held_.Add(outcome, times);
}

bool OutcomeBatch::full() const {
  return lines_.text.size() >= kMaxText || merged_.full();
}

void OutcomeBatch::Release() {
  for (auto& [outcome, outcomes, policy] : held_.items())
    Write(outcome, policy, outcomes, true);
  held_.Clear();
}

const OutcomeBatch::Lines& OutcomeBatch::Complete() {
  for (auto& [outcome, outcomes, policy] : merged_.items()) {
    if (budget_.HasRoom(outcome))
      Write(outcome, policy, outcomes, false);
    else
      HoldSum(outcome, outcomes);
  }
  merged_.Clear();
  return lines_;
}

void OutcomeBatch::Clear() {
  lines_.text.clear();
  lines_.outcomes.clear();
  merged_.Clear();
}

// One line, for so many outcomes.
void OutcomeBatch::Write(Outcome& outcome, const Fingerprint& policy,
                         uint64_t outcomes, bool again) {
  if (HasPolicyText(outcome) && !budget_.WritesText(policy, again))
    outcome.policy_digest = PolicyDigest(outcome);
  const size_t before = lines_.text.size();
  AppendOutcomeLine(outcome, lines_.text);
  budget_.Spend(outcome, lines_.text.size() - before);
  lines_.outcomes.push_back(outcomes);
  outcome.policy_digest.clear();
}

// The TXT record stood in a line before.
void OutcomeBatch::HoldSum(Outcome& outcome, uint64_t outcomes) {
  outcome.policy_domain = outcome.domain;
  outcome.policy_string.clear();
  outcome.mx_host.clear();
  outcome.record.clear();
  MergeDetails(outcome);
  held_.Add(outcome, outcomes);
}

}  // namespace postern
