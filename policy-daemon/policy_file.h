// PolicyFile: the remembered policies on disk, in SQLite.
//
// One row a domain. Writes are gathered in a transaction until Commit(); what
// a full or read-only disk refuses stays in memory, answers as if it were
// written, and is written as soon as the disk takes it; what is on such a disk
// is read all the same. A file that is corrupt is set aside under another
// name, never emptied; what can still be read of it is taken over. WAL mode:
// `postern-policy cache` reads the file beside the running daemon, and purges
// by leaving word in it.
//
// Contract: blocking; one thread at a time. Bounds: `max_policies`, kMaxFailed
// domains without a policy, `max_bytes` of file. When full, newcomers are not
// remembered until others have expired, so that nobody can push a policy out.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/metrics.h"
#include "common/result.h"

#include "policy-daemon/policy_store.h"

namespace postern {

class PolicyFile {
 public:
  struct Settings {
    std::string path;
    uint64_t max_policies = 1000000;
    uint64_t max_bytes = 1 << 30;
  };
  // Opens the file, or makes it; brings it to this version's schema. Where
  // that cannot be done now, all is kept in memory, and Poll() tries again.
  static std::unique_ptr<PolicyFile> Open(Settings settings, Metrics& metrics);
  // For a look at a file that a daemon may be using. Nothing is made; what is
  // put stays in memory.
  enum class Access { kRead, kPurge };
  static Result<std::unique_ptr<PolicyFile>> OpenBeside(const std::string& path,
                                                        Access access,
                                                        Metrics& metrics);
  // Keeps all in memory.
  static std::unique_ptr<PolicyFile> WithoutFile(Metrics& metrics);
  ~PolicyFile();

  // What is beyond the new bounds stays.
  void SetBounds(uint64_t max_policies, uint64_t max_bytes);

  // As PolicyStore, durable with the next Commit().
  StsMemory Find(const std::string& domain);
  void PutPolicy(const std::string& domain, StoredPolicy policy, WallTime now);
  void PutFailure(const std::string& domain, FailedFetch failure);
  void NoteUse(const std::string& domain, WallTime used_at, WallTime check_at);
  void Schedule(const std::string& domain, WallTime fetched_at,
                WallTime check_at);
  void Forget(const std::string& domain);
  void ForgetExpired(const std::string& domain, WallTime now);
  std::vector<std::string> Due(WallTime now, size_t limit);
  void Commit();

  // Calls `visit` for each domain, in order of names.
  using Visit = std::function<void(const std::string&, const StsMemory&)>;
  Status ForEach(const Visit& visit);
  // From beside the daemon: forgets, and leaves word for it. The number of
  // domains that were there. "" for all.
  Result<uint64_t> Purge(const std::string& domain);
  // To be called every second: tries again what the disk refused. Returns what
  // was purged from beside since the last call; "" stands for all.
  std::vector<std::string> Poll();

  uint64_t policies() const;

 private:
  struct State;
  explicit PolicyFile(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace postern
