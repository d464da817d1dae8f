#include "policy-daemon/outcome_fingerprint.h"

#include <functional>

#include <boost/container_hash/hash.hpp>

namespace postern {

void Fingerprint::Add(size_t number) { boost::hash_combine(hash_, number); }

void Fingerprint::Add(std::string_view text) {
  Add(std::hash<std::string_view>()(text));
  bytes_ += sizeof(std::string) + text.size();
}

void Fingerprint::Add(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) Add(text);
  Add(texts.size());
}

void Fingerprint::Add(const FailureDetail& detail) {
  Add(static_cast<size_t>(detail.result_type));
  for (const std::string* text : detail.texts()) Add(*text);
}

Fingerprint Fingerprint::OfPolicy(const Outcome& outcome) {
  Fingerprint print;
  print.Add(outcome.domain);
  print.Add(static_cast<size_t>(outcome.source));
  print.Add(static_cast<size_t>(outcome.policy_type));
  print.Add(outcome.policy_domain);
  print.Add(outcome.policy_string);
  print.Add(outcome.mx_host);
  return print;
}

Fingerprint Fingerprint::OfLine(const Outcome& outcome, Fingerprint policy) {
  policy.Add(outcome.record);
  for (const FailureDetail& detail : outcome.failure_details)
    policy.Add(detail);
  return policy;
}

}  // namespace postern
