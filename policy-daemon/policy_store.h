// PolicyStore: what must not be forgotten about a policy domain.
//
// The seam behind which policies become durable. A valid policy outlives
// every outage of the remote side until its max_age (RFC 8461 section 3.3),
// and a failed fetch is not repeated at every message.
//
// Contract: loop thread only; implementations that touch a disk do it
// elsewhere and answer by suspending.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/awaitable.h"
#include "common/clock.h"

#include "policy-daemon/sts_policy.h"

namespace postern {

struct StoredPolicy {
  // Shared with answers that are being built from it.
  std::shared_ptr<const StsPolicy> policy;
  std::string id;  // of the TXT record it was fetched for
  WallTime fetched_at{};
  WallTime expires_at{};
  // From then on it is fetched again, whatever the id says.
  WallTime refetch_at{};
};

struct FailedFetch {
  std::string id;
  WallTime first_at{};  // when this id's fetch failed first
  WallTime last_at{};   // when it was tried last
  std::string reason;
};

struct StsMemory {
  std::optional<StoredPolicy> policy;
  std::optional<FailedFetch> failure;
};

class PolicyStore {
 public:
  virtual ~PolicyStore() = default;
  virtual Awaitable<StsMemory> Find(std::string domain) = 0;
  // A fetched policy; forgets a failure.
  virtual void PutPolicy(const std::string& domain, StoredPolicy policy) = 0;
  // Everything about the domain: its newest policy does not outlive the
  // question at hand (max_age 0).
  virtual void Forget(const std::string& domain) = 0;
  // A failed fetch; a policy stays.
  virtual void PutFailure(const std::string& domain, FailedFetch failure) = 0;
};

// For the lifetime of the process, at most `max_entries` domains. When full,
// domains without a policy in force make room; if all have one, newcomers
// are not remembered, so that nobody can push a policy out.
class MemoryPolicyStore final : public PolicyStore {
 public:
  MemoryPolicyStore(Clock& clock, size_t max_entries)
      : clock_(clock), max_entries_(max_entries) {}

  Awaitable<StsMemory> Find(std::string domain) override;
  void PutPolicy(const std::string& domain, StoredPolicy policy) override;
  void Forget(const std::string& domain) override;
  void PutFailure(const std::string& domain, FailedFetch failure) override;

 private:
  // Null where there is no room.
  StsMemory* Entry(const std::string& domain);

  Clock& clock_;
  size_t max_entries_;
  boost::unordered_flat_map<std::string, StsMemory> entries_;
};

}  // namespace postern
