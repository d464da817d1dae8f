// The reply texts that Postfix gets, byte for byte.
//
// Only this module writes them. One wrong byte stops all mail to a domain
// (any unknown or doubled attribute invalidates the whole reply), and braces
// have no escape in Postfix: so every attribute is rebuilt from parsed,
// validated fields, and what could be read as syntax is left out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy-daemon/decision.h"
#include "policy-daemon/sts_policy.h"

namespace postern {

// The NAME in socketmap:unix:PATH:NAME.
enum class Dialect {
  kPolicy,  // any Postfix from 3.4
  kTlsrpt,  // adds the attributes that Postfix >= 3.10 reports by
};
inline constexpr size_t kDialects = 2;

// "policy", "policy-tlsrpt" and the names that other daemons answer to.
std::optional<Dialect> DialectOfMap(std::string_view map);

// "OK secure match=... servername=hostname ..."
// REQUIRES: policy.mx not empty.
std::string SecureReply(const StsPolicy& policy, std::string_view domain,
                        Dialect dialect);

// The policy for reports, "mode: enforce" and so on: what replies carry, and so
// Postfix reports. A line that has no place in a reply is left out.
std::vector<std::string> PolicyStrings(const StsPolicy& policy);

// "OK may policy_type=sts ...": an MTA-STS policy that is only reported on.
std::string TestingReply(const StsPolicy& policy, std::string_view domain);

inline constexpr std::string_view kDaneOnlyReply = "OK dane-only";
inline constexpr std::string_view kDaneReply = "OK dane";
inline constexpr std::string_view kNotFoundReply = "NOTFOUND ";

// `reason` is made printable and cut to what Postfix logs of it.
std::string TempReply(std::string_view reason);
std::string PermReply(std::string_view reason);

}  // namespace postern
