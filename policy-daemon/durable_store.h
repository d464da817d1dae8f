// DurableStore: PolicyStore in memory (policy_table.h), written behind to a
// PolicyFile on the disk thread.
//
// Whatever changes is in force at once, and written as soon as the disk is
// free; what came meanwhile shares a commit. A put policy is waited for until
// it is written, kPatience at most: what an answer has rested on, no crash
// forgets. Where the disk is full, faulty or hangs, all answers go on from
// memory, and what could not be written is written when that is over.
//
// Until the file has been read, what is found is `unread`: there may be more.
// A file that cannot be read in time is loud, and read on meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/disk_thread.h"
#include "common/log.h"
#include "common/metrics.h"

#include "policy-daemon/policy_file.h"
#include "policy-daemon/policy_store.h"

namespace postern {

class DurableStore final : public PolicyStore {
 public:
  // A disk that is well reads a million policies in 3 s.
  static constexpr Seconds kLoadPatience{10};

  // Reads the file, and returns after `patience` of real time at the latest.
  // Everything given by reference outlives the store.
  DurableStore(boost::asio::any_io_executor executor, Clock& clock,
               std::unique_ptr<PolicyFile> file, PolicyTable::Bounds bounds,
               Metrics& metrics,
               std::chrono::milliseconds patience = kLoadPatience);
  // Beside a daemon: what is remembered is looked up in its file, if there is
  // one, and never written.
  DurableStore(boost::asio::any_io_executor executor, Clock& clock,
               std::unique_ptr<PolicyFileBeside> beside, Metrics& metrics);
  ~DurableStore() override;

  StsMemory Find(const std::string& domain) override;
  Awaitable<void> PutPolicy(std::string domain, StoredPolicy policy) override;
  void PutFailure(const std::string& domain, FailedFetch failure) override;
  void NoteUse(const std::string& domain, WallTime used_at,
               WallTime check_at) override;
  void Schedule(const std::string& domain, WallTime fetched_at,
                WallTime check_at) override;
  void Forget(const std::string& domain) override;
  void NoteExpired(const std::string& domain, WallTime now) override;
  Awaitable<std::vector<std::string>> Due(WallTime now, size_t limit) override;

  void SetBounds(PolicyTable::Bounds bounds);
  size_t policies() const { return table_->policies(); }

  // Every second, for ever: tries again what the disk refused, and calls
  // `on_purged` for what another process has purged ("" for all).
  using OnPurged = std::function<void(const std::string& domain)>;
  Awaitable<void> Watch(OnPurged on_purged);

  // Writes what is left, and ends the thread; no call may follow. False: the
  // disk hangs, and what was not written by now is lost.
  bool Close();

 private:
  using Rows = std::shared_ptr<const std::vector<PolicyRow>>;

  // On the disk thread, what it finds is posted to the loop.
  void Load();
  void Loaded(const std::shared_ptr<PolicyTable>& table, bool complete);
  // Writes what has changed, unless that is under way.
  void Flush(bool is_poll = false);
  void Written(const PolicyFile::Outcome& outcome);
  void Changed();

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  prometheus::Gauge& policies_;
  prometheus::Gauge& bytes_;
  prometheus::Counter& evicted_;
  prometheus::Counter& refused_;
  LogLimiter log_;
  PolicyTable::Bounds bounds_;
  std::shared_ptr<PolicyTable> table_;  // never null
  std::unique_ptr<PolicyFileBeside> beside_;
  std::shared_ptr<PolicyFile> file_;  // the disk thread's
  bool loaded_ = false;
  bool busy_ = false;  // a write, or the load, is under way
  Rows in_flight_;     // what that write writes
  std::vector<std::shared_ptr<Event>> waiting_;  // for the next write
  std::vector<std::shared_ptr<Event>> written_;  // for the one in flight
  std::vector<std::string> purged_;              // Watch() has not told yet
  // What the disk thread posts may come after the end.
  std::shared_ptr<DurableStore*> self_;
  std::unique_ptr<DiskThread> thread_;  // null: beside
};

}  // namespace postern
