#include "policy-daemon/sts_policy.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_set>

#include "common/domain_name.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kMaxNameLength = 32;
constexpr size_t kMaxAgeDigits = 10;

bool IsFieldName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameLength) return false;
  if (!IsAsciiAlnum(name.front())) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return IsAsciiAlnum(c) || c == '_' || c == '-' || c == '.';
  });
}

// Values of unknown keys may hold UTF-8 and inner blanks, no controls.
bool HasControl(std::string_view value) {
  return std::any_of(value.begin(), value.end(), [](char c) {
    return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
  });
}

// Postfix reads these as match strategies, not as names (postfix 3.10
// tls_client.c): a policy must not be able to name one.
bool IsPostfixKeyword(std::string_view name) {
  return name == "hostname" || name == "nexthop" || name == "dot-nexthop";
}

std::optional<std::string> ParseMx(std::string_view value) {
  const std::string pattern = ToLowerAscii(value);
  std::string_view name = pattern;
  if (name.starts_with("*.")) name.remove_prefix(2);
  // IsNormalDomain knows no address literal, trailing dot, second wildcard
  // or U-label.
  if (!IsNormalDomain(name) || IsPostfixKeyword(name)) return std::nullopt;
  return pattern;
}

class Parser {
 public:
  Result<StsPolicy> Parse(std::string_view text) {
    for (int number = 1; !text.empty(); ++number) {
      const size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      line = TrimBlanks(line);
      if (line.empty()) continue;
      const std::string problem = ParseLine(line);
      if (!problem.empty())
        return Error{"line " + std::to_string(number) + ": " + problem};
    }
    return Finish();
  }

 private:
  // Returns what is wrong, or "".
  std::string ParseLine(std::string_view line) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return "no 'key: value'";
    const std::string name(line.substr(0, colon));
    const std::string_view value = TrimBlanks(line.substr(colon + 1));
    if (!IsFieldName(name)) return "bad key";
    if (HasControl(value)) return "control characters in the value";
    if (name != "mx" && !seen_.insert(name).second) return "";
    std::string kept(value);
    if (name == "version") {
      if (value != "STSv1") return "unknown version";
    } else if (name == "mode") {
      if (!ParseMode(value)) return "unknown mode";
    } else if (name == "max_age") {
      if (!ParseMaxAge(value)) return "max_age is not 1 to 10 digits";
    } else if (name == "mx") {
      const auto pattern = ParseMx(value);
      if (!pattern) return "'" + Printable(value, 100) + "' is no mx pattern";
      if (!patterns_.insert(*pattern).second) return "";
      policy_.mx.push_back(*pattern);
      kept = *pattern;
    }
    policy_.fields.emplace_back(name, std::move(kept));
    return "";
  }

  bool ParseMode(std::string_view value) {
    for (StsMode mode :
         {StsMode::kEnforce, StsMode::kTesting, StsMode::kNone}) {
      if (value != StsModeName(mode)) continue;
      policy_.mode = mode;
      return true;
    }
    return false;
  }

  bool ParseMaxAge(std::string_view value) {
    if (value.size() > kMaxAgeDigits) return false;
    const auto seconds = ParseUint(value, UINT64_MAX);
    if (!seconds) return false;
    policy_.max_age =
        std::min(Seconds(static_cast<int64_t>(*seconds)), kMaxPolicyAge);
    return true;
  }

  Result<StsPolicy> Finish() {
    for (const char* required : {"version", "mode", "max_age"})
      if (!seen_.contains(required))
        return Error{std::string("no ") + required};
    if (policy_.mx.empty() && policy_.mode != StsMode::kNone)
      return Error{"no mx"};
    return std::move(policy_);
  }

  StsPolicy policy_;
  std::set<std::string, std::less<>> seen_;
  std::unordered_set<std::string> patterns_;
};

}  // namespace

std::string_view StsModeName(StsMode mode) {
  switch (mode) {
    case StsMode::kEnforce:
      return "enforce";
    case StsMode::kTesting:
      return "testing";
    case StsMode::kNone:
      return "none";
  }
  return "none";
}

Result<StsPolicy> ParseStsPolicy(std::string_view text) {
  if (text.size() > kMaxPolicyBytes) return Error{"larger than 64 KiB"};
  return Parser().Parse(text);
}

std::string StsPolicyText(const StsPolicy& policy) {
  std::string text;
  for (const auto& [name, value] : policy.fields) {
    if (!text.empty()) text += '\n';
    text.append(name).append(1, ':').append(value);
  }
  return text;
}

StsPolicy Essential(StsPolicy policy) {
  size_t others = 0;
  std::erase_if(policy.fields, [&](const auto& field) {
    const auto& [name, value] = field;
    if (name == "version" || name == "mode" || name == "mx" ||
        name == "max_age")
      return false;
    others += name.size() + value.size();
    return others > kMaxOtherFields;
  });
  return policy;
}

bool MatchesMxPattern(std::string_view host, std::string_view pattern) {
  if (!pattern.starts_with("*.")) return host == pattern;
  const size_t dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 &&
         host.substr(dot) == pattern.substr(1);
}

}  // namespace postern
