// MaillogReader: the thread that follows Postfix's log, and tells how sessions
// went.
//
// Why a thread: to read a log may wait for the disk. Queries come from the loop
// (what was answered to which process), lines from the log; MaillogSessions
// puts the two together.
//
// Contract: NoteQuery() from any thread, cheap, bounded. `report` is called
// from the reader's thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/log.h"
#include "common/metrics.h"
#include "common/outcome.h"

#include "policy-daemon/log_source.h"
#include "policy-daemon/maillog_sessions.h"

namespace postern {

class MaillogReader {
 public:
  using Report = std::function<void(std::vector<Outcome>)>;

  // Reads from now on. `host`: this machine's name; the lines of others are
  // left out, as their process ids mean nothing here. `metrics` outlives it.
  MaillogReader(std::unique_ptr<LogSource> source, const std::string& host,
                Report report, Metrics& metrics);
  ~MaillogReader();
  MaillogReader(const MaillogReader&) = delete;
  MaillogReader& operator=(const MaillogReader&) = delete;

  // Process `pid` is about to be answered.
  void NoteQuery(uint32_t pid, std::string_view key, AnsweredPolicyPtr policy);

  // Reads what is there, remembers its position, and ends. False: the disk
  // hangs, and it did not within `patience` of real time.
  bool Stop(Seconds patience);

 private:
  struct Query {
    uint32_t pid = 0;
    std::string key;
    AnsweredPolicyPtr policy;
    LogTime at{};
  };

  void ReadOn();
  // False: there was nothing more.
  bool ReadSome();
  void Take(const LogRecord& record);
  bool IsForeign(const MaillogLine& line);
  void CountSessions();
  void TellOfProblem();

  const std::unique_ptr<LogSource> source_;
  const std::string host_;  // its first label, in lower case
  const Report report_;

  std::mutex mutex_;
  std::condition_variable stop_;
  // Guarded by mutex_.
  std::vector<Query> queries_;
  bool stopping_ = false;

  // Of the thread.
  MaillogSessions sessions_{MaillogSessions::Limits()};
  std::vector<MaillogLine> lines_;
  std::string problem_;
  LogLimiter foreign_log_;

  struct Counted {
    uint64_t MaillogSessions::Counters::*field;
    prometheus::Counter* counter;
    uint64_t told = 0;
  };
  std::vector<Counted> counted_;
  prometheus::Counter& dropped_;

  std::promise<void> ended_;
  std::future<void> has_ended_ = ended_.get_future();
  std::thread thread_;
};

}  // namespace postern
