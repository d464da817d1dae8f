#include "policy-daemon/answered_policy.h"

#include "common/outcome_bounds.h"

namespace postern {
namespace {

constexpr size_t kMaxTlsaBytes = 32 << 10;

size_t BytesOf(const std::vector<std::string>& strings) {
  size_t bytes = 0;
  for (const std::string& text : strings) bytes += sizeof(text) + text.size();
  return bytes;
}

}  // namespace

void BoundAnsweredPolicy(AnsweredPolicy& policy) {
  BoundPolicyStrings(policy.policy_string);
  if (policy.mx_host.size() > kKeptHosts) policy.mx_host.resize(kKeptHosts);
  size_t bytes = 0;
  for (AnsweredPolicy::Host& host : policy.hosts) {
    BoundPolicyStrings(host.tlsa);
    bytes += BytesOf(host.tlsa);
    if (bytes > kMaxTlsaBytes) host.tlsa.clear();
  }
}

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
