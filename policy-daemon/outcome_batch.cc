#include "policy-daemon/outcome_batch.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include <boost/container_hash/hash.hpp>

#include "common/outcome_json.h"

namespace postern {
namespace {

constexpr size_t kMaxText = 1 << 20;
constexpr size_t kMaxMerged = 4096;
constexpr size_t kMaxMergedBytes = 4 << 20;

// Separates what may hold anything but this (docs/spool-format.md).
constexpr char kEnd = '\0';

void AppendPolicy(const Outcome& outcome, std::string& out) {
  out.append(outcome.domain).push_back(kEnd);
  out.push_back(static_cast<char>(outcome.source));
  out.push_back(static_cast<char>(outcome.policy_type));
  out.append(outcome.policy_domain).push_back(kEnd);
  for (const std::string& line : outcome.policy_string)
    out.append(line).push_back(kEnd);
  out.push_back(kEnd);
  for (const std::string& host : outcome.mx_host)
    out.append(host).push_back(kEnd);
}

void AppendDetail(const FailureDetail& detail, std::string& out) {
  out.push_back(static_cast<char>(detail.result_type));
  for (const std::string* part :
       {&detail.sending_mta_ip, &detail.receiving_mx_hostname,
        &detail.receiving_mx_helo, &detail.receiving_ip,
        &detail.additional_information, &detail.failure_reason_code})
    out.append(*part).push_back(kEnd);
}

// What two outcomes of one line have in common.
std::string IdentityOf(const Outcome& outcome) {
  std::string identity;
  AppendPolicy(outcome, identity);
  identity.append(outcome.record).push_back(kEnd);
  for (const FailureDetail& detail : outcome.failure_details)
    AppendDetail(detail, identity);
  return identity;
}

// `sum` is of the same identity.
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

size_t HashOf(std::string_view text) {
  return std::hash<std::string_view>()(text);
}

}  // namespace

bool DetailBounds::Admit(const Outcome& outcome) {
  const auto day = std::chrono::floor<std::chrono::days>(outcome.at);
  if (day != day_) {
    day_ = day;
    details_of_.clear();
    known_.clear();
  }
  std::string text;
  AppendPolicy(outcome, text);
  const size_t policy = HashOf(text);
  bool admitted = true;
  for (const FailureDetail& detail : outcome.failure_details) {
    text.clear();
    AppendDetail(detail, text);
    size_t hash = policy;
    boost::hash_combine(hash, HashOf(text));
    if (known_.contains(hash)) continue;
    if (known_.size() >= limits_.overall ||
        details_of_[policy] >= limits_.per_policy) {
      admitted = false;
      continue;
    }
    known_.insert(hash);
    ++details_of_[policy];
  }
  return admitted;
}

void OutcomeBatch::Add(Outcome outcome, uint64_t times) {
  if (!outcome.failure_details.empty() || outcome.failed > 0) {
    if (bounds_.Admit(outcome)) {
      lines_.outcomes.insert(lines_.outcomes.end(), times, 1);
      while (times-- > 0) AppendOutcomeLine(outcome, lines_.text);
      return;
    }
    DropDetails(outcome);
  }
  Multiply(outcome, times);
  const auto [place, is_new] =
      by_identity_.try_emplace(IdentityOf(outcome), merged_.size());
  if (is_new) {
    merged_bytes_ += place->first.size();
    return merged_.push_back({std::move(outcome), times});
  }
  Merged& same = merged_[place->second];
  MergeInto(same.outcome, outcome);
  same.outcomes += times;
}

bool OutcomeBatch::full() const {
  return lines_.text.size() >= kMaxText || merged_.size() >= kMaxMerged ||
         merged_bytes_ >= kMaxMergedBytes;
}

const OutcomeBatch::Lines& OutcomeBatch::Complete() {
  for (const Merged& one : merged_) {
    AppendOutcomeLine(one.outcome, lines_.text);
    lines_.outcomes.push_back(one.outcomes);
  }
  merged_.clear();
  merged_bytes_ = 0;
  by_identity_.clear();
  return lines_;
}

void OutcomeBatch::Clear() {
  lines_.text.clear();
  lines_.outcomes.clear();
}

}  // namespace postern
