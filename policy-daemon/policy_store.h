// PolicyStore: what must not be forgotten about a policy domain.
//
// A valid policy outlives every outage of the remote side until its max_age
// (RFC 8461 section 3.3), and a failed fetch is not repeated at every message.
// It is also the agenda of the refreshes: each domain has a time at which it
// is looked at next.
//
// Contract: loop thread only. All that is known is in memory; an
// implementation that touches a disk does it elsewhere.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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
  // When it is looked at next: the TXT record, and what follows from it.
  WallTime check_at{};
  // When a question rested on it last, to the hour. WallTime{} in a policy
  // that is put: as before.
  WallTime used_at{};
  // On how many different days that was, 2 for more. The store counts.
  int days_used = 1;
  // On how many different days an even clock has seen it expired, and the last
  // of them, in days since 1970. The store counts.
  int expired_days = 0;
  int64_t expired_day = 0;
};

struct FailedFetch {
  std::string id;
  WallTime first_at{};  // when this id's fetch failed first
  WallTime last_at{};   // when it was tried last
  // Since the last success. 0: none that tells anything of the domain, as our
  // own trouble was in the way.
  int tries = 0;
  std::string reason;
};

struct StsMemory {
  std::optional<StoredPolicy> policy;
  std::optional<FailedFetch> failure;
  // What is on disk could not be read yet: there may be more.
  bool unread = false;
};

// So long after its last use, a policy counts as idle, and is not refreshed.
inline constexpr Seconds kIdleAfter{30 * 24 * 3600};

// So long a failed id is answered without waiting for it.
inline constexpr Seconds kFailureMemory{24 * 3600};

// A clock that is set back makes what was stored before come from the future.

// Whether a failure keeps anybody from trying again. One that comes from the
// future would do so until the clock has caught up: it counts as none.
inline bool Counts(const FailedFetch& failure, WallTime now) {
  return failure.first_at <= now && failure.last_at <= now;
}

// A policy that comes from the future is in force, and due to be fetched.
inline bool IsFromTheFuture(const StoredPolicy& policy, WallTime now) {
  return policy.fetched_at > now;
}

// When the policy ends (RFC 8461 section 3.2), as one sees it at `now`: never
// later than if it had been fetched at this moment.
inline WallTime EndOf(const StoredPolicy& policy, WallTime now) {
  return std::min(policy.expires_at, now + policy.policy->max_age);
}

class PolicyStore {
 public:
  virtual ~PolicyStore() = default;
  virtual StsMemory Find(const std::string& domain) = 0;
  // A fetched policy; forgets a failure. Ends once it is durable: what an
  // answer has rested on, no crash forgets. (Where the disk hangs or is full,
  // it ends all the same, and the policy is written when that is over.)
  virtual Awaitable<void> PutPolicy(std::string domain,
                                    StoredPolicy policy) = 0;
  // A failed fetch; a policy stays.
  virtual void PutFailure(const std::string& domain, FailedFetch failure) = 0;
  // The policy, if there is one, is in use, and looked at next at `check_at`.
  virtual void NoteUse(const std::string& domain, WallTime used_at,
                       WallTime check_at) = 0;
  // The policy that was fetched at `fetched_at` is looked at next at
  // `check_at`; nothing where another has come meanwhile.
  virtual void Schedule(const std::string& domain, WallTime fetched_at,
                        WallTime check_at) = 0;
  // Everything about the domain: its newest policy does not outlive the
  // question at hand (max_age 0).
  virtual void Forget(const std::string& domain) = 0;
  // Its policy has expired by the clock as it is now. It goes when an even
  // clock has seen that on kExpiredDays different days.
  virtual void NoteExpired(const std::string& domain, WallTime now) = 0;
  // Domains with a policy whose time has come, the longest waiting first.
  virtual Awaitable<std::vector<std::string>> Due(WallTime now,
                                                  size_t limit) = 0;
};

}  // namespace postern
