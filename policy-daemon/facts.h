// What is known about a destination: plain values, gathered by the lookups,
// judged by Decide(), told by `postern-policy query`.
//
// A field in state kPending is still being looked up. Failures of the remote
// side are values here, with a reason for a person.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/dns.h"

#include "policy-daemon/outcome_sink.h"
#include "policy-daemon/policy_key.h"
#include "policy-daemon/sts_policy.h"

namespace postern {

enum class MxState { kPending, kFailed, kSecure, kInsecure };

enum class HostState {
  kPending,
  kNoAddress,  // proven to have none: dropped
  kUsable,     // secure, at least one usable TLSA record
  kUnusable,   // secure TLSA records, none usable
  kNone,       // proven to have no TLSA, or its address is insecure
  kUnknown,    // a lookup failed
};

enum class StsState {
  kPending,
  kEnforce,  // an enforce policy is in force, live or remembered
  kOther,    // testing, none, absent, or failed with nothing remembered
};

struct HostFacts {
  std::string name;
  HostState state = HostState::kPending;
  bool secure_address = false;
  std::string tlsa_base;  // where the records were found
  // The records, usable or not, as far as they are kept (TakeTlsa()): for
  // texts alone. The state was found from all.
  std::vector<TlsaRecord> tlsa;
  size_t tlsa_left_out = 0;
  bool web_tlsa_only = false;         // kUnusable: all are of usage 0 or 1
  std::string reason;                 // how the state came about, for a person
  std::optional<DnsQuestion> failed;  // kUnknown by SERVFAIL: asked what
  Seconds ttl{0};
};

struct MxFacts {
  MxState state = MxState::kPending;
  bool implicit = false;  // no MX records: the domain is its own host
  bool null_mx = false;   // RFC 7505: takes no mail
  bool nxdomain = false;
  bool skipped = false;               // DANE is off: nothing was asked
  size_t unexamined = 0;              // hosts beyond kMaxHosts
  std::string reason;                 // kFailed: why
  std::optional<DnsQuestion> failed;  // kFailed by SERVFAIL: asked what
  Seconds ttl{0};
};

enum class StsTxt { kPending, kAbsent, kInvalid, kValid, kFailed };

enum class StsFetch {
  kNone,  // none was due
  kPending,
  kDone,  // a valid policy came
  kFailed,
  kSkipped,  // failed before, less than 24 h ago: not waited for again
  kCrowded,  // too many fetches at once: none was made
  kOurs,     // failed by trouble of ours: nothing is known of the domain
};

struct StsFacts {
  StsState state = StsState::kPending;
  bool skipped = false;  // off by policy.overrides: nothing was asked
  StsTxt txt = StsTxt::kPending;
  std::string id;          // kValid
  std::string txt_reason;  // kInvalid, kFailed
  Seconds txt_ttl{0};
  StsFetch fetch = StsFetch::kNone;
  std::string fetch_reason;  // for our own people
  std::string fetch_told;    // kFailed: for the domain's owner
  bool unreached = false;    // kFailed: nobody could be connected to
  ResultType fetch_failure = ResultType::kStsPolicyFetchError;  // kFailed
  // The policy in force, of whatever mode; null without one. Shared by the
  // store and by every answer that is being built from it; never changed.
  std::shared_ptr<const StsPolicy> policy;
  bool memory_unread = false;  // the store failed: there may be a policy
  bool remembered = false;     // from the store, not fetched for this question
  WallTime fetched_at{};
  WallTime expires_at{};
  WallTime refetch_at{};
};

// Hosts whose addresses and TLSA records are looked up (design section 4);
// the rest are unknown.
inline constexpr size_t kMaxHosts = 128;

// What is kept of TLSA records: in number and bytes of data a host, in bytes a
// destination.
inline constexpr size_t kMaxTlsaRecords = 16;
inline constexpr size_t kMaxTlsaBytes = 8 << 10;
inline constexpr size_t kMaxTlsaBytesInAll = 64 << 10;
// Of a text from the remote side or about it.
inline constexpr size_t kMaxReason = 300;

struct Facts {
  PolicyKey key;
  MxFacts mx;
  std::vector<HostFacts> hosts;  // in MX order
  StsFacts sts;
};

// Judges `records`, which must not be empty (the host is usable or unusable by
// them), and keeps of them what the bounds allow, usable ones first.
void TakeTlsa(std::vector<TlsaRecord> records, HostFacts& host);
// Keeps none of its records; the state stays.
void LeaveOutTlsa(HostFacts& host);

// What the records take that are kept, and all of the facts, with overheads.
size_t TlsaBytes(const HostFacts& host);
size_t BytesOf(const Facts& facts);

}  // namespace postern
