// The MTA-STS policy file (RFC 8461 section 3.2).
//
//   version: STSv1
//   mode: enforce
//   mx: mail.example.com
//   mx: *.backup.example.com
//   max_age: 604800
//
// Anybody on the internet writes it. What comes out of here is validated
// field by field, and is all that the rest of the program ever sees of it.
//
// Choices: one malformed mx line makes the policy invalid (the owner learns
// of it, mail is not held); max_age above the limit is capped; the first of
// repeated keys counts; blank lines are ignored.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/result.h"

namespace postern {

inline constexpr size_t kMaxPolicyBytes = 64 * 1024;  // RFC 8461 section 3.3
inline constexpr Seconds kMaxPolicyAge{31557600};     // section 3.2: one year

enum class StsMode { kEnforce, kTesting, kNone };

std::string_view StsModeName(StsMode mode);

struct StsPolicy {
  StsMode mode = StsMode::kNone;
  Seconds max_age{0};
  // Patterns in file order, lower case, without repeats: "mx.example.com" or
  // "*.example.com".
  std::vector<std::string> mx;
  // Every field that counts, in file order, as name and value: for reports.
  std::vector<std::pair<std::string, std::string>> fields;

  friend bool operator==(const StsPolicy&, const StsPolicy&) = default;
};

// The error says which line is wrong and how.
Result<StsPolicy> ParseStsPolicy(std::string_view text);

// A text that parses to an equal policy, no longer than the one it came from.
std::string StsPolicyText(const StsPolicy& policy);

// What is kept of a policy: everything that counts, and of the other fields no
// more than kMaxOtherFields bytes, from the first on.
inline constexpr size_t kMaxOtherFields = 4096;
StsPolicy Essential(StsPolicy policy);

// Exact, or "*." and exactly one label (RFC 8461 section 4.1). Both in normal
// form.
bool MatchesMxPattern(std::string_view host, std::string_view pattern);

}  // namespace postern
