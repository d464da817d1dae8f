// An outcome as a line of the spool, to the letter of docs/spool-format.md:
//
//   {"at":"2026-11-22T13:05:07Z","domain":"example.com","source":"postfix",
//    "policy-type":"sts","policy-domain":"example.com",
//    "policy-string":["version: STSv1","mode: enforce"],
//    "mx-host":["mx.example.com"],"successful":3,"failed":0,
//    "failure-details":[],"record":"v=TLSRPTv1; rua=mailto:t@example.com"}
//
// A line with `policy_digest` has it in place of both lists.
//
// A line is printable ASCII, whatever is in the outcome's strings: nothing
// remote reaches a terminal raw. Writing is formatting into a string, without
// a document in between: the receiver does it for every datagram.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/outcome.h"

namespace postern {

// Readers skip what is longer, its end included: nobody means it.
inline constexpr size_t kMaxOutcomeLine = 1 << 20;

// Sessions that a line can count: what every JSON parser takes for an integer
// (RFC 7493 section 2.2). More is written as this.
inline constexpr uint64_t kMaxSessions = (uint64_t{1} << 53) - 1;

// Appends the line with its '\n'. Bytes that are not UTF-8 become U+FFFD.
void AppendOutcomeLine(const Outcome& outcome, std::string& out);

// The outcome of a line, with or without its '\n'; nullopt where it is torn,
// too long, or none of ours. Members that we do not know do not matter; a
// result type that we do not know is validation-failure with the reason
// "code-NAME". A source or a policy type that we do not know makes the line
// none of ours: a guess would count sessions twice or report a false policy.
std::optional<Outcome> ParseOutcomeLine(std::string_view line);

}  // namespace postern
