#include "policy-daemon/result_counters.h"

namespace postern {
namespace {

// As `postern-policy query` tells of them.
enum class StsResult {
  kEnforce,
  kTesting,
  kNone,  // the policy says so
  kAbsent,
  kRecordInvalid,
  kRecordFailed,
  kFetchFailed,
};

StsResult ResultOf(const StsFacts& sts) {
  if (sts.policy) {
    switch (sts.policy->mode) {
      case StsMode::kEnforce:
        return StsResult::kEnforce;
      case StsMode::kTesting:
        return StsResult::kTesting;
      case StsMode::kNone:
        return StsResult::kNone;
    }
  }
  switch (sts.txt) {
    case StsTxt::kInvalid:
      return StsResult::kRecordInvalid;
    case StsTxt::kFailed:
    case StsTxt::kPending:
      return StsResult::kRecordFailed;
    case StsTxt::kValid:
      return StsResult::kFetchFailed;
    case StsTxt::kAbsent:
      break;
  }
  return StsResult::kAbsent;
}

}  // namespace

ResultCounters::ResultCounters(Metrics& metrics)
    : left_out_(metrics.Counter("postern_tlsa_records_left_out_total",
                                "TLSA records judged, but too many or too "
                                "large to be kept for texts")) {
  const std::array<const char*, kHostStates> states = {
      nullptr, "no-address", "usable", "unusable", "none", "unknown"};
  for (size_t i = 0; i < kHostStates; ++i)
    if (states[i])
      hosts_[i] = &metrics.Counter("postern_dane_hosts_total",
                                   "MX hosts looked up, by state of their TLSA",
                                   {{"state", states[i]}});
  const std::array<const char*, kStsResults> results = {
      "enforce",        "testing",       "none",        "absent",
      "record-invalid", "record-failed", "fetch-failed"};
  for (size_t i = 0; i < kStsResults; ++i)
    sts_[i] = &metrics.Counter("postern_sts_results_total",
                               "MTA-STS lookups by what is in force",
                               {{"result", results[i]}});
}

void ResultCounters::Count(const Facts& facts) {
  if (!facts.mx.skipped)
    for (const HostFacts& host : facts.hosts) {
      if (auto* counter = hosts_[static_cast<size_t>(host.state)])
        counter->Increment();
      if (host.tlsa_left_out > 0)
        left_out_.Increment(static_cast<double>(host.tlsa_left_out));
    }
  if (!facts.sts.skipped)
    sts_[static_cast<size_t>(ResultOf(facts.sts))]->Increment();
}

}  // namespace postern
