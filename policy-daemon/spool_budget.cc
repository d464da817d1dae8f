#include "policy-daemon/spool_budget.h"

#include <algorithm>
#include <limits>

namespace postern {
namespace {

constexpr uint64_t kShare = 256;
constexpr size_t kMaxPolicies = 1000000;

}  // namespace

void SpoolBudget::Begin(WallTime at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  hour_ = static_cast<uint8_t>(
      std::chrono::floor<std::chrono::hours>(at - day).count());
  if (day == day_) return;
  day_ = day;
  day_bytes_ = 0;
  policies_.clear();
  kinds_.clear();
  owners_.clear();
  nobodys_ = std::numeric_limits<uint64_t>::max();
}

size_t SpoolBudget::OwnerOf(const std::string& domain) {
  const std::hash<std::string> hash;
  const size_t own = hash(domain);
  if (!limits_.owner_of) return own;
  const auto known = owner_of_.find(own);
  if (known != owner_of_.end()) return known->second;
  if (owner_of_.size() >= limits_.owners) owner_of_.clear();
  return owner_of_[own] = hash(limits_.owner_of(domain));
}

uint64_t& SpoolBudget::SpentBy(const Outcome& outcome) {
  const size_t owner = OwnerOf(outcome.domain);
  const auto known = owners_.find(owner);
  if (known != owners_.end()) return known->second;
  return owners_.size() < limits_.owners ? owners_[owner] : nobodys_;
}

bool SpoolBudget::HasRoom(const Outcome& outcome) {
  const uint64_t for_all = limits_.day_bytes / 4 * 3;
  const uint64_t left = for_all - std::min(day_bytes_, for_all);
  return SpentBy(outcome) < left / kShare;
}

void SpoolBudget::Spend(const Outcome& outcome, size_t bytes) {
  day_bytes_ += bytes;
  uint64_t& spent = SpentBy(outcome);
  if (&spent != &nobodys_) spent += bytes;
}

SpoolBudget::Verdict SpoolBudget::Judge(const Outcome& outcome,
                                        const Fingerprint& policy,
                                        uint64_t times) {
  Verdict verdict;
  const auto count = [&](Kind& kind) {
    if (kind.hour != hour_) kind = {hour_, 0};
    const uint64_t room = limits_.lines_per_kind - kind.lines;
    const uint64_t own = std::min(times, room);
    kind.lines += static_cast<uint8_t>(own);
    verdict.own_lines = std::max(verdict.own_lines, own);
  };
  // Without a detail, the policy's fingerprint is the kind's.
  if (outcome.failure_details.empty()) {
    if (kinds_.size() >= limits_.details) return {0, false};
    count(kinds_[static_cast<Hash>(policy.hash())]);
  }
  for (const FailureDetail& detail : outcome.failure_details) {
    Fingerprint print = policy;
    print.Add(detail);
    const auto hash = static_cast<Hash>(print.hash());
    auto kind = kinds_.find(hash);
    if (kind == kinds_.end()) {
      if (kinds_.size() >= limits_.details) return {0, false};
      if (policies_.size() >= kMaxPolicies) policies_.clear();
      uint32_t& details = policies_[policy.hash()].details;
      if (details >= limits_.details_per_policy) return {0, false};
      ++details;
      kind = kinds_.emplace(hash, Kind{hour_, 0}).first;
    }
    count(kind->second);
  }
  return verdict;
}

bool SpoolBudget::WritesText(const Fingerprint& fingerprint, bool again) {
  if (policies_.size() >= kMaxPolicies) policies_.clear();
  Policy& policy = policies_[fingerprint.hash()];
  if (policy.hour != hour_) {
    policy.hour = hour_;
    policy.texts = 0;
  }
  if (policy.is_written && (again || policy.texts >= limits_.texts_per_policy))
    return false;
  policy.is_written = true;
  ++policy.texts;
  return true;
}

void SpoolBudget::ForgetTexts() {
  for (auto& [hash, policy] : policies_) policy.is_written = false;
}

}  // namespace postern
