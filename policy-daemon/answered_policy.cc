#include "policy-daemon/answered_policy.h"

namespace postern {
namespace {

size_t BytesOf(const std::vector<std::string>& strings) {
  size_t bytes = 0;
  for (const std::string& text : strings) bytes += sizeof(text) + text.size();
  return bytes;
}

}  // namespace

size_t BytesOf(const AnsweredPolicy& policy) {
  size_t bytes = sizeof(policy) + policy.domain.size() +
                 policy.policy_domain.size() + BytesOf(policy.policy_string) +
                 BytesOf(policy.mx_host);
  for (const auto& [name, tlsa_base, tlsa] : policy.dane_hosts)
    bytes += sizeof(AnsweredPolicy::DaneHost) + name.size() + tlsa_base.size() +
             BytesOf(tlsa);
  return bytes;
}

}  // namespace postern
