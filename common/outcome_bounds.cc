#include "common/outcome_bounds.h"

#include <algorithm>
#include <utility>

#include "common/plain_text.h"

namespace postern {
namespace {

// What a byte becomes at most: "\u0001".
constexpr size_t kEscaped = 6;
// Beside a string: quotation marks and a comma; and room for the marker.
constexpr size_t kFrame = 3;
constexpr size_t kMarkerBytes = 24;
// Names of a detail's members, and its count.
constexpr size_t kDetailFrame = 250;

size_t LineBytes(const std::string& text) {
  const bool plain = PlainLength(text) == text.size();
  return (plain ? text.size() : kEscaped * text.size()) + kFrame;
}

size_t LineBytes(const FailureDetail& detail) {
  size_t bytes = kDetailFrame;
  for (const std::string* part : detail.texts()) bytes += LineBytes(*part);
  return bytes;
}

// How many of the first items fit.
template <class Items>
size_t Fitting(const Items& items, size_t max_items, size_t max_bytes) {
  size_t count = 0;
  for (size_t bytes = 0; count < std::min(items.size(), max_items); ++count)
    if ((bytes += LineBytes(items[count])) > max_bytes) break;
  return count;
}

// How many were left out.
size_t Cut(std::vector<std::string>& strings, size_t max_strings,
           size_t max_bytes) {
  const size_t kept = Fitting(strings, max_strings, max_bytes);
  const size_t left_out = strings.size() - kept;
  strings.resize(kept);
  return left_out;
}

}  // namespace

void BoundPolicyStrings(std::vector<std::string>& strings) {
  const size_t left_out =
      Cut(strings, kKeptStrings, kKeptStringBytes - kMarkerBytes);
  if (left_out > 0)
    strings.push_back("(" + std::to_string(left_out) + " more)");
}

void BoundOutcome(Outcome& outcome) {
  BoundPolicyStrings(outcome.policy_string);
  Cut(outcome.mx_host, kKeptHosts, kKeptHostBytes);
  const size_t details =
      Fitting(outcome.failure_details, kKeptDetails, kKeptDetailBytes);
  if (details < outcome.failure_details.size()) MergeDetails(outcome, details);
  if (LineBytes(outcome.record) > kMaxRecordBytes + kFrame)
    outcome.record.clear();
}

void MergeDetails(Outcome& outcome, size_t first) {
  auto& details = outcome.failure_details;
  std::vector<FailureDetail> merged;
  for (size_t i = first; i < details.size(); ++i) {
    const FailureDetail& detail = details[i];
    auto same = std::find_if(merged.begin(), merged.end(),
                             [&](const FailureDetail& one) {
                               return one.result_type == detail.result_type;
                             });
    if (same == merged.end()) {
      same = merged.emplace(merged.end());
      same->result_type = detail.result_type;
      same->additional_information = kTooManyDetails;
    }
    same->failed_session_count += detail.failed_session_count;
  }
  details.resize(std::min(first, details.size()));
  for (FailureDetail& detail : merged) details.push_back(std::move(detail));
}

// FNV-1a.
std::string PolicyDigest(const Outcome& outcome) {
  if (outcome.policy_string.empty() && outcome.mx_host.empty()) return "";
  uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](char c) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  };
  for (const auto* strings : {&outcome.policy_string, &outcome.mx_host}) {
    for (const std::string& text : *strings) {
      for (const char c : text) add(c);
      add('\0');
    }
    add('\0');
  }
  std::string digits(16, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    *digit = "0123456789abcdef"[hash & 15];
    hash >>= 4;
  }
  return digits;
}

}  // namespace postern
