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
  for (const AnsweredPolicy::Host& host : policy.hosts)
    bytes += sizeof(host) + host.name.size() + host.tlsa_base.size() +
             BytesOf(host.tlsa);
  return bytes;
}

}  // namespace postern
