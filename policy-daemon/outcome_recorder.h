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
// Contract: AppendDatagrams() and Record() from any thread. What waits is
// bounded: AppendDatagrams() waits for room, Record() drops and counts.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
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
#include "policy-daemon/tlsrpt_datagram.h"

namespace postern {

class OutcomeRecorder {
 public:
  struct Settings {
    std::string directory;  // of the day files
    int keep_days = 10;
    DetailBounds::Limits details{};
    // In memory, nearly: so a disk may hang for minutes.
    size_t max_waiting_bytes = 96 << 20;
  };
  // `now` is called from the recorder's threads; `metrics` outlives it.
  OutcomeRecorder(Settings settings, std::function<WallTime()> now,
                  Metrics& metrics);
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
    size_t bytes = 0;  // of all, with what keeping them costs

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
  void TakeIn(Inbox& inbox);
  void TakeIn(const Repeated& one, WallTime now);
  void GiveUp(const Inbox& inbox, uint64_t settled_before);
  void Refuse(DatagramFault fault, const Repeated& one);
  void Write(WallTime now);
  void Report(const std::string& error, uint64_t lost);
  void NoteUnsynced(std::shared_ptr<const SpoolFile> file);
  void SyncOn();
  void Sync(const SpoolFile& file);
  void Expire();

  const Settings settings_;
  const std::function<WallTime()> now_;
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
  bool failing_ = false;
  uint64_t lost_ = 0;     // since it began to fail
  uint64_t settled_ = 0;  // outcomes: written, lost, refused
  LogLimiter failure_log_{1};
  LogLimiter refusal_log_;

  // Of the syncing thread.
  Day expired_on_{};
  bool sync_failing_ = false;

  std::thread writing_;
  std::thread syncing_;
};

}  // namespace postern
