#include "policy-daemon/outcome_batch.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <tuple>
#include <utility>

#include <boost/container_hash/hash.hpp>

#include "common/outcome_json.h"

namespace postern {
namespace {

constexpr size_t kMaxText = 1 << 20;
constexpr size_t kMaxMerged = 4096;
constexpr size_t kMaxMergedBytes = 4 << 20;
// The memory of such outcomes is kept for the next.
constexpr size_t kUsualBytes = 4096;

// Of all that is added; and the memory that its strings take.
class Fingerprint {
 public:
  void Add(size_t number) { boost::hash_combine(hash_, number); }
  void Add(std::string_view text) {
    Add(std::hash<std::string_view>()(text));
    bytes_ += sizeof(std::string) + text.size();
  }
  void Add(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) Add(text);
    Add(texts.size());
  }

  size_t hash() const { return hash_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t hash_ = 0;
  size_t bytes_ = 0;
};

Fingerprint OfPolicy(const Outcome& outcome) {
  Fingerprint print;
  print.Add(outcome.domain);
  print.Add(static_cast<size_t>(outcome.source));
  print.Add(static_cast<size_t>(outcome.policy_type));
  print.Add(outcome.policy_domain);
  print.Add(outcome.policy_string);
  print.Add(outcome.mx_host);
  return print;
}

void AddDetail(const FailureDetail& detail, Fingerprint& print) {
  print.Add(static_cast<size_t>(detail.result_type));
  for (const std::string* part :
       {&detail.sending_mta_ip, &detail.receiving_mx_hostname,
        &detail.receiving_mx_helo, &detail.receiving_ip,
        &detail.additional_information, &detail.failure_reason_code})
    print.Add(*part);
}

// What two outcomes of one line have in common. Of merged ones' details, only
// the result types are left.
Fingerprint OfLine(const Outcome& outcome) {
  Fingerprint print = OfPolicy(outcome);
  print.Add(outcome.record);
  for (const FailureDetail& detail : outcome.failure_details)
    print.Add(static_cast<size_t>(detail.result_type));
  return print;
}

bool AreOfOneLine(const Outcome& a, const Outcome& b) {
  const auto policy = [](const Outcome& outcome) {
    return std::tie(outcome.domain, outcome.source, outcome.policy_type,
                    outcome.policy_domain, outcome.policy_string,
                    outcome.mx_host, outcome.record);
  };
  const auto is_of_type = [](const FailureDetail& one,
                             const FailureDetail& other) {
    return one.result_type == other.result_type;
  };
  return policy(a) == policy(b) &&
         std::equal(a.failure_details.begin(), a.failure_details.end(),
                    b.failure_details.begin(), b.failure_details.end(),
                    is_of_type);
}

// REQUIRES: they are of one line.
void MergeInto(Outcome& sum, const Outcome& outcome) {
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

// One for each result type is left.
void DropDetails(Outcome& outcome) {
  std::vector<FailureDetail> bare;
  for (const FailureDetail& detail : outcome.failure_details) {
    const auto same =
        std::find_if(bare.begin(), bare.end(), [&](const FailureDetail& one) {
          return one.result_type == detail.result_type;
        });
    if (same != bare.end()) {
      same->failed_session_count += detail.failed_session_count;
      continue;
    }
    FailureDetail left;
    left.result_type = detail.result_type;
    left.failed_session_count = detail.failed_session_count;
    left.additional_information = kTooManyDetails;
    bare.push_back(std::move(left));
  }
  outcome.failure_details = std::move(bare);
}

}  // namespace

bool DetailBounds::Admit(const Outcome& outcome) {
  const auto day = std::chrono::floor<std::chrono::days>(outcome.at);
  if (day != day_) {
    day_ = day;
    details_of_.clear();
    known_.clear();
  }
  const Fingerprint policy = OfPolicy(outcome);
  bool admitted = true;
  for (const FailureDetail& detail : outcome.failure_details) {
    Fingerprint print = policy;
    AddDetail(detail, print);
    const auto detail_hash = static_cast<Hash>(print.hash());
    if (known_.contains(detail_hash)) continue;
    if (known_.size() >= limits_.overall) {
      admitted = false;
      continue;
    }
    uint32_t& details = details_of_[static_cast<Hash>(policy.hash())];
    if (details >= limits_.per_policy) {
      admitted = false;
      continue;
    }
    known_.insert(detail_hash);
    ++details;
  }
  return admitted;
}

void OutcomeBatch::Add(Outcome&& outcome, uint64_t times) {
  if (!outcome.failure_details.empty() || outcome.failed > 0) {
    if (bounds_.Admit(outcome)) {
      lines_.outcomes.insert(lines_.outcomes.end(), times, 1);
      while (times-- > 0) AppendOutcomeLine(outcome, lines_.text);
      return;
    }
    DropDetails(outcome);
  }
  Multiply(outcome, times);
  const Fingerprint print = OfLine(outcome);
  const size_t place =
      places_.try_emplace(print.hash(), merged_count_).first->second;
  if (place < merged_count_ && AreOfOneLine(merged_[place].outcome, outcome)) {
    MergeInto(merged_[place].outcome, outcome);
    merged_[place].outcomes += times;
    return;
  }
  if (merged_count_ == merged_.size()) merged_.emplace_back();
  Merged& newcomer = merged_[merged_count_];
  newcomer.outcome = outcome;
  newcomer.outcomes = times;
  ++merged_count_;
  merged_bytes_ += print.bytes();
}

bool OutcomeBatch::full() const {
  return lines_.text.size() >= kMaxText || merged_count_ >= kMaxMerged ||
         merged_bytes_ >= kMaxMergedBytes;
}

const OutcomeBatch::Lines& OutcomeBatch::Complete() {
  for (const Merged& one : merged()) {
    AppendOutcomeLine(one.outcome, lines_.text);
    lines_.outcomes.push_back(one.outcomes);
  }
  return lines_;
}

void OutcomeBatch::Clear() {
  lines_.text.clear();
  lines_.outcomes.clear();
  for (Merged& one : merged())
    if (MemoryOf(one.outcome) > kUsualBytes) one = {};
  merged_count_ = 0;
  merged_bytes_ = 0;
  places_.clear();
}

}  // namespace postern
