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
// A session has failed only where mail was deferred (TEMP) for that reason;
// otherwise the outcome counts none, and has the detail.
//
// Pure.
#pragma once

#include <vector>

#include "policy-daemon/facts.h"
#include "policy-daemon/outcome_sink.h"

namespace postern {

// What came of the lookup for those who asked.
struct Deferred {
  bool for_policy_file = false;  // TEMP while the policy file was awaited
  bool for_dns = false;  // TEMP, as an MX, address or TLSA lookup failed
};

// REQUIRES: complete facts.
std::vector<Finding> FindingsOf(const Facts& facts, Deferred deferred);

}  // namespace postern
