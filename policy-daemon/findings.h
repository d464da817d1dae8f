// Findings: what a lookup has found that Postfix will not report itself.
//
//   found                                           reported as
//   the policy file could not be fetched, read,     sts-policy-fetch-error,
//     or its server's certificate was bad             -invalid, sts-webpki-...
//   an MX host that the policy in force does not    validation-failure,
//     name: Postfix passes over it                    "mx-host-mismatch"
//   TLSA records none of which SMTP can use, all    tlsa-invalid
//     of usage 0 or 1 (RFC 7672 section 3.1.3)
//   MX, address or TLSA records with a bad          dnssec-invalid
//     signature
//
// A lookup has kMaxFindings at most: one for each MX host would let a domain
// with a hundred of them write a hundred policies.
//
// A session has failed only where mail was deferred (TEMP) for that reason;
// otherwise the outcome counts none, and has the detail.
//
// Pure.
#pragma once

#include <vector>

#include "policy-daemon/facts.h"
#include "policy-daemon/outcome_sink.h"

namespace postern {

inline constexpr size_t kMaxFindings = 10;

// What came of the lookup for those who asked.
struct Answered {
  bool temp_for_policy_file = false;  // while it was awaited
  bool temp_for_dns = false;          // an MX, address or TLSA lookup failed
  bool secure = false;  // Postfix is to keep to the policy's hosts
};

// REQUIRES: complete facts. Each is within the bounds of a line
// (common/outcome_bounds.h).
std::vector<Finding> FindingsOf(const Facts& facts, Answered answered);

}  // namespace postern
