// Outcome: how deliveries to a domain went under one policy: a line of the
// spool (docs/spool-format.md), a part of a report (RFC 8460 section 4.4).
//
// Plain values, named after the RFC's fields. Whoever fills them has bounded
// and repaired what strangers wrote: all strings are UTF-8.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"

namespace postern {

enum class OutcomeSource {
  kPostfix,  // a datagram of Postfix's
  kPolicy,   // found by the policy daemon itself
  kLog,      // read from Postfix's log
};

enum class PolicyType { kTlsa, kSts, kNoPolicyFound };

// RFC 8460 section 4.3.
enum class ResultType {
  kStarttlsNotSupported,
  kCertificateHostMismatch,
  kCertificateNotTrusted,
  kCertificateExpired,
  kValidationFailure,
  kStsPolicyFetchError,
  kStsPolicyInvalid,
  kStsWebpkiInvalid,
  kTlsaInvalid,
  kDnssecInvalid,
  kDaneRequired,
};

// The additional-information of a detail that stands for the many beyond what
// is kept: it has a result type and a count besides.
inline constexpr char kTooManyDetails[] =
    "more distinct failure details than are kept";

struct FailureDetail {
  ResultType result_type = ResultType::kValidationFailure;
  // "" where it is not known.
  std::string sending_mta_ip;
  std::string receiving_mx_hostname;
  std::string receiving_mx_helo;
  std::string receiving_ip;
  uint64_t failed_session_count = 0;
  std::string additional_information;
  std::string failure_reason_code;

  // All that is text.
  std::array<const std::string*, 6> texts() const {
    return {&sending_mta_ip, &receiving_mx_hostname,  &receiving_mx_helo,
            &receiving_ip,   &additional_information, &failure_reason_code};
  }

  friend bool operator==(const FailureDetail&, const FailureDetail&) = default;
};

struct Outcome {
  WallTime at{};
  std::string domain;  // the TLSRPT domain: that of the next-hop, normal form
  OutcomeSource source = OutcomeSource::kPostfix;
  PolicyType policy_type = PolicyType::kNoPolicyFound;
  std::string policy_domain;  // for DANE the MX host
  std::vector<std::string> policy_string;
  std::vector<std::string> mx_host;
  // Not "": the two above stood in an earlier line of the day, whose digest
  // this is, and are not written again (common/outcome_bounds.h).
  std::string policy_digest;
  uint64_t successful = 0;  // sessions
  uint64_t failed = 0;
  std::vector<FailureDetail> failure_details;
  std::string record;  // the TXT record at _smtp._tls.<domain>; "": not known

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// What it takes in memory, nearly.
size_t MemoryOf(const Outcome& outcome);

// The names on the wire: "sts", "starttls-not-supported", "postfix".
const char* PolicyTypeName(PolicyType type);
const char* ResultTypeName(ResultType type);
const char* OutcomeSourceName(OutcomeSource source);
std::optional<PolicyType> ParsePolicyType(std::string_view name);
std::optional<ResultType> ParseResultType(std::string_view name);
std::optional<OutcomeSource> ParseOutcomeSource(std::string_view name);

}  // namespace postern
