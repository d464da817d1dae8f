// OutcomeRecorder: the thread between those who know how sessions went and the
// spool.
//
// It lets a burst come in first, which the receiver needs the processor for.
// Then it takes what has come, parses equal successes once, merges, and appends
// in one write: under load batches grow, and calls do not. Another thread
// syncs, at most every second. A spool that cannot be written costs the
// outcomes, which are counted, and nothing else; every batch tries it again.
// What throws, as where memory runs out, costs what was in hand, counted, too.
//
// What the batch holds (repeated failures, sums) is released every minute; in
// between, kill -9 costs it.
//
// Contract: AppendDatagrams() and Record() from any thread. What waits is
// bounded, datagrams and outcomes apart: AppendDatagrams() waits for room,
// Record() drops and counts.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/log.h"
#include "common/metrics.h"
#include "common/outcome.h"
#include "common/spool_writer.h"

#include "policy-daemon/outcome_batch.h"
#include "policy-daemon/spool_counters.h"
#include "policy-daemon/spool_expiry.h"
#include "policy-daemon/tlsrpt_datagram.h"

namespace postern {

class OutcomeRecorder {
 public:
  struct Settings {
    std::string directory;  // of the day files
    int keep_days = 10;
    SpoolBudget::Limits budget{};
    // nullopt: 5 % of the file system or 1 GiB, whichever is less.
    std::optional<uint64_t> min_free = 0;
    // In memory, nearly: so a disk may hang for minutes.
    size_t max_waiting_bytes = 96 << 20;  // of datagrams
    size_t max_outcome_bytes = 16 << 20;  // of Record()
  };
  struct Times {
    std::function<WallTime()> wall;
    std::function<BootTime()> boot;
  };
  // `times` are called from the recorder's threads; `metrics` outlives it.
  OutcomeRecorder(Settings settings, Times times, Metrics& metrics);
  // Writes what waits, however long it takes.
  ~OutcomeRecorder();
  OutcomeRecorder(const OutcomeRecorder&) = delete;
  OutcomeRecorder& operator=(const OutcomeRecorder&) = delete;

  // False: there was no room until Finish() was called; they are lost.
  bool AppendDatagrams(std::span<const std::string_view> datagrams);
  void Record(Outcome outcome);

  // Writes and syncs what waits, and ends. False: the disk hangs, and it did
  // not within `patience` of real time.
  bool Finish(Seconds patience);

 private:
  // Datagrams, one behind the other. Blocks never grow: to copy megabytes
  // while the receiver waits would cost what comes meanwhile.
  struct Block {
    std::string bytes;
    std::vector<size_t> sizes;
  };
  // What has come since the last look.
  struct Inbox {
    std::vector<Block> blocks;
    std::vector<Outcome> outcomes;
    size_t bytes = 0;  // of datagrams, with what keeping them costs
    size_t outcome_bytes = 0;

    bool empty() const { return blocks.empty() && outcomes.empty(); }
  };
  struct Repeated {
    std::string_view datagram;
    uint64_t times = 0;
  };

  Block& BlockFor(size_t bytes);
  bool IsCrowded() const;
  void WriteOn();
  void AwaitLull(std::unique_lock<std::mutex>& lock);
  void Recycle(Inbox& inbox);
  static std::vector<Repeated> Count(const std::vector<Block>& blocks);
  void TakeIn(Inbox& inbox, bool last);
  void TakeIn(const Repeated& one, WallTime now);
  void GiveUp(const Inbox& inbox, uint64_t settled_before);
  void Refuse(DatagramFault fault, const Repeated& one);
  void Release();
  uint64_t Settled() const;
  void Write(WallTime now);
  void Report(const std::string& error, uint64_t lost);
  void NoteUnsynced(std::shared_ptr<const SpoolFile> file);
  void SyncOn();
  void Sync(const SpoolFile& file);
  void Expire();

  const Settings settings_;
  const Times times_;
  SpoolCounters counters_;

  std::mutex mutex_;
  std::condition_variable came_;  // something for the writing thread
  std::condition_variable room_;
  std::condition_variable written_;  // something for the syncing thread
  std::condition_variable ended_;
  // All guarded by mutex_.
  Inbox inbox_;
  std::vector<Block> spare_;  // empty ones
  std::vector<std::shared_ptr<const SpoolFile>> unsynced_;
  bool ending_ = false;
  bool all_written_ = false;
  bool all_synced_ = false;

  // Of the writing thread.
  DatagramParser parser_;
  OutcomeBatch batch_;
  SpoolWriter writer_;
  WallTime taken_at_{};                 // the last that was added to the batch
  std::optional<BootTime> release_at_;  // where the batch holds something
  bool failing_ = false;
  uint64_t lost_ = 0;     // since it began to fail
  uint64_t settled_ = 0;  // outcomes: written, lost, refused
  LogLimiter failure_log_{1};
  LogLimiter refusal_log_;

  // Of the syncing thread.
  SpoolExpiry expiry_;
  bool sync_failing_ = false;

  std::thread writing_;
  std::thread syncing_;
};

}  // namespace postern
