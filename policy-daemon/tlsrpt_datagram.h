// What Postfix tells about a session: a datagram of libtlsrpt, as outcomes.
//
//   {"dpv": "1","d": "a.example","pr": "v=TLSRPTv1; rua=mailto:r@a.example",
//    "policies":[{"policy-type":9,"policy-domain": "a.example","t":0,"f":0}]}
//
// Any local process can send one, and most of its text is a stranger's: the
// TXT record, the policy, the reply to EHLO. A datagram is taken as a whole or
// refused as a whole; what is taken is bounded, clean text.
//
//   in the datagram            taken as
//   dpv                        absent is "1" (Debian 13); another is refused
//   d                          a domain in normal form; refused without one
//   pr                         the record; absent or above 4,096 bytes: "",
//                              for a cut one would name another address
//   policies                   an outcome each; 1 to 16, otherwise refused
//   policy-type                a number that RFC 8460 does not know: as 9
//   policy-domain              in normal form where it has one; absent: d
//   policy-string, mx-host     4,096 strings and 64 KiB each, otherwise
//                              refused; a string is cut to 8,192 and 255
//                              bytes; none with policy-type 9
//   ... with policy-type 1     a set: each record in one spelling, sorted
//   failure-details            64 of them, otherwise refused; equal ones are
//                              counted together, each of them is a session
//   c                          unknown: validation-failure, "code-N: reason"
//   s, r                       in canonical form (RFC 5952); no address: ""
//   n                          in normal form; has none: ""
//   h                          the server's name of the EHLO reply; none: ""
//   a, f (the reason)          cut to 1,024 and 255 bytes
//   f (the policy's)           0 or 1: a session that went well or failed,
//                              whatever the details say
//   t, unknown keys            not looked at
//
// Refused, too: a key of ours twice in an object (which one counts would be a
// guess), any other type than libtlsrpt writes (1.0 and "1" are no integers,
// null is no string), a missing d, policy-type, f or c, and what is nested more
// than 32 deep.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "common/outcome.h"
#include "common/outcome_bounds.h"

namespace postern {

// A sender's socket buffer takes three times that (net.core.wmem_default);
// Postfix's largest, with a long policy and EHLO reply, stay far below.
inline constexpr size_t kMaxDatagramBytes = 64 * 1024;

// Postfix sends one policy with at most one detail.
inline constexpr size_t kMaxDatagramPolicies = 16;
inline constexpr size_t kMaxDatagramDetails = 64;

// A policy file is no larger (RFC 8461 section 3.3).
inline constexpr size_t kMaxPolicyStrings = 4096;
inline constexpr size_t kMaxPolicyStringsBytes = 64 * 1024;
// A TLSA record with a whole certificate of 4 KiB, in hex.
inline constexpr size_t kMaxPolicyStringBytes = 8192;
inline constexpr size_t kMaxMxHostBytes = 255;  // "*." and a name

enum class DatagramFault {
  kEmpty,
  kTooLong,
  kNotJson,
  kWrongShape,  // JSON, but not what libtlsrpt writes
  kForeignVersion,
  kBadDomain,
  kNoPolicy,
  kTooMany,  // policies, details or strings
};
inline constexpr size_t kDatagramFaults = 8;

// "empty", "too-long", ...: for metrics and log lines.
const char* DatagramFaultName(DatagramFault fault);

using DatagramResult = std::variant<std::span<Outcome>, DatagramFault>;

// Its memory serves one datagram after the other.
class DatagramParser {
 public:
  DatagramParser();

  // `at`: when it came. The outcomes are the caller's until the next call;
  // strings that are left in them need not be allocated again.
  DatagramResult Parse(std::string_view datagram, WallTime at);

 private:
  std::vector<char> text_;  // the datagram, which is parsed in place
  std::vector<char> pool_;  // what it is parsed to; more comes from the heap
  std::vector<Outcome> outcomes_;
  bool is_large_ = false;  // the last datagram
};

}  // namespace postern
