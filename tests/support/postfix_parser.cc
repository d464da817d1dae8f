#include "tests/support/postfix_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "common/text.h"

#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

constexpr std::string_view kSeparators = ", \t\r\n";
constexpr std::string_view kSpaces = " \t\r\n\v\f";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

// mystrtokq(): braces are counted wherever they stand; separators inside them
// are part of the token. "" at the end.
std::string_view NextToken(std::string_view& text, bool braces) {
  text.remove_prefix(
      std::min(text.find_first_not_of(kSeparators), text.size()));
  size_t level = 0;
  size_t end = 0;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (braces && c == '{')
      ++level;
    else if (braces && level > 0 && c == '}')
      --level;
    else if (level == 0 && kSeparators.find(c) != std::string_view::npos)
      break;
  }
  const std::string_view token = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return token;
}

// extpar(): what stands between the braces around `token`, or nullopt.
std::optional<std::string_view> InsideBraces(std::string_view token) {
  size_t level = 0;
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '{') ++level;
    if (token[i] == '}' && --level == 0) {
      if (i + 1 != token.size()) return std::nullopt;  // text after '}'
      return Trim(token.substr(1, i - 1));
    }
  }
  return std::nullopt;  // no closing '}'
}

struct NameValue {
  std::string name;
  std::string value;
};

// split_nameval(): "name = value", blanks around both optional.
std::optional<NameValue> SplitNameValue(std::string_view token) {
  const size_t equals = token.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string_view name = Trim(token.substr(0, equals));
  if (name.empty() || name.find_first_of(kSpaces) != std::string_view::npos)
    return std::nullopt;
  return NameValue{ToLowerAscii(name),
                   std::string(Trim(token.substr(equals + 1)))};
}

// valid_hostname() without its trailing dot.
bool IsHostName(std::string_view name) {
  if (name.empty() || name.size() > 255) return false;
  bool all_digits = true;
  size_t label = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '.') {
      if (label == 0 || name[i - 1] == '-') return false;
      label = 0;
      continue;
    }
    if (!IsAsciiAlnum(c) && c != '_' && (c != '-' || label == 0)) return false;
    if (!IsAsciiDigit(c)) all_digits = false;
    if (++label > 63) return false;
  }
  return label > 0 && name.back() != '-' && !all_digits;
}

class Reader {
 public:
  explicit Reader(PostfixVersion version) : version_(version) {}

  PostfixPolicy Read(std::string_view payload) {
    // Postfix keeps the reply as a C string.
    payload = payload.substr(0, payload.find('\0'));
    if (payload.size() > kMaxReplyPayload)
      return Refuse("longer than Postfix reads");
    if (!payload.starts_with("OK ")) return Refuse("not OK");
    payload.remove_prefix(3);
    policy_.level = ToLowerAscii(NextToken(payload, /*braces=*/false));
    if (!IsLevel(policy_.level)) return Refuse("no security level");
    if (policy_.level == "none") return policy_;
    const bool braces = version_ >= PostfixVersion::k310;
    for (;;) {
      std::string_view token = NextToken(payload, braces);
      if (token.empty()) break;
      if (braces && token.front() == '{') {
        const auto inside = InsideBraces(token);
        if (!inside) return Refuse("braces do not match");
        token = *inside;
      }
      const auto attribute = SplitNameValue(token);
      if (!attribute) return Refuse("not name=value");
      const std::string problem = Take(*attribute);
      if (!problem.empty()) return Refuse(attribute->name + ": " + problem);
    }
    if (needs_policy_type_ && policy_.policy_type.empty())
      return Refuse("TLSRPT attributes without policy_type");
    return policy_;
  }

 private:
  static bool IsLevel(std::string_view level) {
    static constexpr std::array<std::string_view, 8> kLevels = {
        "none",      "may",         "encrypt", "dane",
        "dane-only", "fingerprint", "verify",  "secure"};
    return std::find(kLevels.begin(), kLevels.end(), level) != kLevels.end();
  }

  PostfixPolicy Refuse(const std::string& why) {
    PostfixPolicy refused;
    refused.error = why;
    return refused;
  }

  // Returns what is wrong with the attribute, or "".
  std::string Take(const NameValue& attribute) {
    const auto& [name, value] = attribute;
    static const std::set<std::string> once = {
        "ciphers",    "protocols",   "exclude",       "servername",
        "policy_ttl", "policy_type", "policy_domain", "policy_failure"};
    if (once.contains(name) && !seen_.insert(name).second) return "given twice";
    if (value.empty()) return "empty value";
    if (name == "match") return TakeMatch(value);
    if (name == "servername") {
      if (!IsHostName(value)) return "no host name";
      policy_.servername = value;
      return "";
    }
    if (IsReporting(name)) return TakeReporting(name, value);
    return TakeOther(name, value);
  }

  std::string TakeMatch(const std::string& value) {
    const bool named = policy_.level == "verify" || policy_.level == "secure";
    if (!named && policy_.level != "fingerprint")
      return "not at level " + policy_.level;
    for (std::string_view part : SplitList(value, named ? ":" : "|"))
      policy_.match.emplace_back(part);
    return "";
  }

  bool IsReporting(const std::string& name) const {
    static const std::set<std::string> reporting = {
        "policy_ttl",    "policy_type",     "policy_domain",
        "policy_string", "mx_host_pattern", "policy_failure"};
    return version_ >= PostfixVersion::k310 && reporting.contains(name);
  }

  std::string TakeReporting(const std::string& name, const std::string& value) {
    if (name == "policy_type") {
      if (value != "sts" && value != "no-policy-found") return "unknown type";
      policy_.policy_type = value;
      return "";
    }
    needs_policy_type_ = true;
    if (name == "policy_domain") {
      if (!IsHostName(value)) return "no host name";
      policy_.policy_domain = value;
    } else if (name == "policy_string") {
      policy_.policy_strings.push_back(value);
    } else if (name == "mx_host_pattern") {
      policy_.mx_host_patterns.push_back(value);
    } else {
      policy_.others.push_back(name);
    }
    return "";
  }

  std::string TakeOther(const std::string& name, const std::string& value) {
    static const std::set<std::string> known = {
        "ciphers", "protocols",        "exclude",
        "tafile",  "connection_reuse", "enable_rpk"};
    if (!known.contains(name)) return "unknown attribute";
    if (name == "enable_rpk" && version_ < PostfixVersion::k310)
      return "unknown attribute";
    if (name == "tafile" && policy_.level != "verify" &&
        policy_.level != "secure")
      return "not at level " + policy_.level;
    if ((name == "connection_reuse" || name == "enable_rpk") &&
        value != "yes" && value != "no")
      return "neither yes nor no";
    policy_.others.push_back(name);
    return "";
  }

  PostfixVersion version_;
  PostfixPolicy policy_;
  std::set<std::string> seen_;
  bool needs_policy_type_ = false;
};

// What a reply with TLSRPT attributes tells of a policy: the fields that
// Postfix can read inside braces, and how long the reply would be.
struct Telling {
  std::vector<std::string> strings;  // as Postfix reads them
  size_t attributes_size = 0;
  size_t strings_size = 0;
};

Telling WhatToTell(const StsPolicy& policy, std::string_view domain) {
  Telling telling;
  telling.attributes_size =
      std::string_view(" policy_type=sts policy_domain=").size() +
      domain.size();
  for (const std::string& pattern : policy.mx)
    telling.attributes_size +=
        std::string_view(" mx_host_pattern=").size() + pattern.size();
  for (const auto& [name, value] : policy.fields) {
    const bool tellable = std::all_of(value.begin(), value.end(), [](char c) {
      return c >= ' ' && c <= '~' && c != '{' && c != '}';
    });
    if (!tellable) continue;
    const std::string field = name + ": " + value;
    telling.strings.emplace_back(Trim(field));
    telling.strings_size +=
        std::string_view(" { policy_string =  }").size() + field.size();
  }
  return telling;
}

}  // namespace

PostfixPolicy ReadAsPostfix(std::string_view payload, PostfixVersion version) {
  return Reader(version).Read(payload);
}

std::string WrongInSecureReply(const StsPolicy& policy, std::string_view domain,
                               Dialect dialect) {
  const std::string reply = SecureReply(policy, domain, dialect);
  const bool tlsrpt = dialect == Dialect::kTlsrpt;
  for (char c : reply)
    if (c < ' ' || c > '~') return "a byte outside printable ASCII";
  const PostfixPolicy read =
      ReadAsPostfix(reply, tlsrpt ? PostfixVersion::k310 : PostfixVersion::k37);
  if (!read.ok()) return "Postfix refuses it: " + read.error;
  if (read.level != "secure") return "level " + read.level;
  if (!read.others.empty()) return "attribute " + read.others.front();
  if (read.servername != "hostname") return "servername " + read.servername;

  std::vector<std::string> match;
  for (const std::string& pattern : policy.mx)
    match.push_back(pattern.starts_with("*.") ? pattern.substr(1) : pattern);
  if (read.match != match) return "other names to match";
  for (const std::string& name : read.match)
    if (name == "hostname" || name == "nexthop" || name == "dot-nexthop")
      return "a match strategy instead of a name";

  if (!tlsrpt) return read.policy_type.empty() ? "" : "TLSRPT for an old one";
  // Over the limit all policy_string go first, then all TLSRPT attributes.
  const Telling telling = WhatToTell(policy, domain);
  const size_t plain = SecureReply(policy, domain, Dialect::kPolicy).size();
  const size_t with_attributes = plain + telling.attributes_size;
  if (with_attributes > kMaxReplyPayload)
    return reply.size() == plain ? "" : "too long and yet more than plain";
  if (read.policy_type != "sts") return "policy_type " + read.policy_type;
  if (read.policy_domain != domain) return "another policy_domain";
  if (read.mx_host_patterns != policy.mx) return "other mx_host_pattern";
  if (with_attributes + telling.strings_size > kMaxReplyPayload)
    return read.policy_strings.empty() ? "" : "policy_string over the limit";
  return read.policy_strings == telling.strings ? "" : "other policy_string";
}

}  // namespace postern
