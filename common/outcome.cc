#include "common/outcome.h"

#include <array>

namespace postern {
namespace {

constexpr std::array kSources = {"postfix", "policy", "log"};
constexpr std::array kPolicyTypes = {"tlsa", "sts", "no-policy-found"};
constexpr std::array kResultTypes = {"starttls-not-supported",
                                     "certificate-host-mismatch",
                                     "certificate-not-trusted",
                                     "certificate-expired",
                                     "validation-failure",
                                     "sts-policy-fetch-error",
                                     "sts-policy-invalid",
                                     "sts-webpki-invalid",
                                     "tlsa-invalid",
                                     "dnssec-invalid",
                                     "dane-required"};

template <class Enum, size_t n>
std::optional<Enum> Parse(const std::array<const char*, n>& names,
                          std::string_view name) {
  for (size_t i = 0; i < n; ++i)
    if (name == names[i]) return static_cast<Enum>(i);
  return std::nullopt;
}

}  // namespace

size_t MemoryOf(const Outcome& outcome) {
  size_t bytes = sizeof outcome + outcome.domain.size() +
                 outcome.policy_domain.size() + outcome.policy_digest.size() +
                 outcome.record.size();
  for (const auto* strings : {&outcome.policy_string, &outcome.mx_host})
    for (const std::string& text : *strings) bytes += sizeof text + text.size();
  for (const FailureDetail& detail : outcome.failure_details) {
    bytes += sizeof detail;
    for (const std::string* text : detail.texts()) bytes += text->size();
  }
  return bytes;
}

const char* PolicyTypeName(PolicyType type) {
  return kPolicyTypes[static_cast<size_t>(type)];
}
const char* ResultTypeName(ResultType type) {
  return kResultTypes[static_cast<size_t>(type)];
}
const char* OutcomeSourceName(OutcomeSource source) {
  return kSources[static_cast<size_t>(source)];
}
std::optional<PolicyType> ParsePolicyType(std::string_view name) {
  return Parse<PolicyType>(kPolicyTypes, name);
}
std::optional<ResultType> ParseResultType(std::string_view name) {
  return Parse<ResultType>(kResultTypes, name);
}
std::optional<OutcomeSource> ParseOutcomeSource(std::string_view name) {
  return Parse<OutcomeSource>(kSources, name);
}

}  // namespace postern
