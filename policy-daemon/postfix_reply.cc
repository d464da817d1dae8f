#include "policy-daemon/postfix_reply.h"

#include <algorithm>
#include <cassert>

#include "common/text.h"

#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

// Postfix logs "socketmap server temporary error: %.200s".
constexpr size_t kMaxTempReason = 190;

// Inside { } everything is literal except the braces themselves.
bool FitsInBraces(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    return c >= 0x20 && c <= 0x7e && c != '{' && c != '}';
  });
}

std::string MatchList(const StsPolicy& policy) {
  std::string list;
  for (std::string_view pattern : policy.mx) {
    if (!list.empty()) list += ':';
    // Postfix knows ".example.com", and takes "*.example.com" literally.
    if (pattern.starts_with("*.")) pattern.remove_prefix(1);
    list += pattern;
  }
  return list;
}

std::string ReportAttributes(const StsPolicy& policy, std::string_view domain) {
  std::string text = " policy_type=sts policy_domain=";
  text += domain;
  for (const std::string& pattern : policy.mx)
    text += " mx_host_pattern=" + pattern;
  return text;
}

std::string PolicyStringAttributes(const StsPolicy& policy) {
  std::string text;
  for (const std::string& line : PolicyStrings(policy))
    text += " { policy_string = " + line + " }";
  return text;
}

// Over Postfix's limit the policy_string go first, then all reporting; never
// a single pattern, which would change what is enforced.
std::string Fit(const std::string& plain, const std::string& attributes,
                const std::string& strings) {
  const size_t with_attributes = plain.size() + attributes.size();
  if (with_attributes + strings.size() <= kMaxReplyPayload)
    return plain + attributes + strings;
  return with_attributes <= kMaxReplyPayload ? plain + attributes : plain;
}

}  // namespace

std::vector<std::string> PolicyStrings(const StsPolicy& policy) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : policy.fields)
    if (FitsInBraces(value)) lines.push_back(name + ": " + value);
  return lines;
}

std::optional<Dialect> DialectOfMap(std::string_view map) {
  if (map == "policy" || map == "QUERY" || map == "postfix")
    return Dialect::kPolicy;
  if (map == "policy-tlsrpt" || map == "QUERYwithTLSRPT")
    return Dialect::kTlsrpt;
  return std::nullopt;
}

std::string SecureReply(const StsPolicy& policy, std::string_view domain,
                        Dialect dialect) {
  assert(!policy.mx.empty());
  // servername: RFC 8461 section 7.1 wants the MX host name as SNI.
  const std::string plain =
      "OK secure match=" + MatchList(policy) + " servername=hostname";
  if (dialect == Dialect::kPolicy) return plain;
  return Fit(plain, ReportAttributes(policy, domain),
             PolicyStringAttributes(policy));
}

std::string TestingReply(const StsPolicy& policy, std::string_view domain) {
  return Fit("OK may", ReportAttributes(policy, domain),
             PolicyStringAttributes(policy));
}

std::string TempReply(std::string_view reason) {
  return "TEMP " + Printable(reason, kMaxTempReason);
}

std::string PermReply(std::string_view reason) {
  return "PERM " + Printable(reason, kMaxTempReason);
}

}  // namespace postern
