#include "policy-daemon/policy_store.h"

namespace postern {

Awaitable<StsMemory> MemoryPolicyStore::Find(std::string domain) {
  const auto found = entries_.find(domain);
  co_return found == entries_.end() ? StsMemory{} : found->second;
}

void MemoryPolicyStore::PutPolicy(const std::string& domain,
                                  StoredPolicy policy) {
  StsMemory* entry = Entry(domain);
  if (entry) *entry = {std::move(policy), std::nullopt};
}

void MemoryPolicyStore::Forget(const std::string& domain) {
  entries_.erase(domain);
}

void MemoryPolicyStore::PutFailure(const std::string& domain,
                                   FailedFetch failure) {
  StsMemory* entry = Entry(domain);
  if (entry) entry->failure = std::move(failure);
}

StsMemory* MemoryPolicyStore::Entry(const std::string& domain) {
  const auto found = entries_.find(domain);
  if (found != entries_.end()) return &found->second;
  if (entries_.size() >= max_entries_) {
    const WallTime now = clock_.WallNow();
    boost::unordered::erase_if(entries_, [now](const auto& entry) {
      const auto& policy = entry.second.policy;
      return !policy || policy->expires_at <= now;
    });
  }
  if (entries_.size() >= max_entries_) return nullptr;
  return &entries_[domain];
}

}  // namespace postern
