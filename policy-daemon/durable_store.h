// DurableStore: PolicyStore on a PolicyFile, which works on the disk thread.
//
// Reads have a deadline: a disk that hangs costs what is remembered, for that
// question, never the answer. A put policy ends with its commit; commits are
// shared by what came meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/disk_thread.h"
#include "common/metrics.h"

#include "policy-daemon/policy_file.h"
#include "policy-daemon/policy_store.h"

namespace postern {

class DurableStore final : public PolicyStore {
 public:
  // Everything given by reference outlives the store.
  DurableStore(boost::asio::any_io_executor executor, Clock& clock,
               std::unique_ptr<PolicyFile> file, Metrics& metrics);
  ~DurableStore() override;

  Awaitable<StsMemory> Find(std::string domain) override;
  Awaitable<void> PutPolicy(std::string domain, StoredPolicy policy) override;
  void PutFailure(const std::string& domain, FailedFetch failure) override;
  void NoteUse(const std::string& domain, WallTime used_at,
               WallTime check_at) override;
  void Schedule(const std::string& domain, WallTime fetched_at,
                WallTime check_at) override;
  void Forget(const std::string& domain) override;
  void ForgetExpired(const std::string& domain, WallTime now) override;
  Awaitable<std::vector<std::string>> Due(WallTime now, size_t limit) override;

  void SetBounds(uint64_t max_policies, uint64_t max_bytes);

  // Every second, for ever: tries again what the disk refused, and calls
  // `on_purged` for what another process has purged ("" for all).
  using OnPurged = std::function<void(const std::string& domain)>;
  Awaitable<void> Watch(OnPurged on_purged);

  // Writes what is left, and ends the thread; no call may follow. False: the
  // disk hangs, and what was not written by now is lost.
  bool Close();

 private:
  // On the disk thread alone.
  struct OnDisk;

  void Post(std::function<void(PolicyFile&)> job);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  prometheus::Counter& lost_;
  LogLimiter log_;
  std::shared_ptr<OnDisk> disk_;
  std::unique_ptr<DiskThread> thread_;
};

}  // namespace postern
