// MaillogReader: the thread that follows Postfix's log, and tells how sessions
// went.
//
// Why a thread: to read a log may wait for the disk. Queries come from the loop
// (what was answered to which process), lines from the log; MaillogSessions
// puts the two together.
//
// Lines of other hosts are left out: their process ids mean nothing here. Whose
// lines are ours is told by the host's name; but Postfix's own maillog_file has
// myhostname, and so a name that stands alone in the log is taken for ours.
//
// Contract: NoteQuery() from any thread, cheap, bounded. `report` is called
// from the reader's thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
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
  using Open = std::function<std::unique_ptr<LogSource>()>;

  // Reads from now on: what `open` gives, in its own thread, as sd_journal
  // wants it; waits for that, but not long. `host`: this machine's name.
  // `metrics` outlives it.
  MaillogReader(Open open, const std::string& host, Report report,
                Metrics& metrics);
  ~MaillogReader();
  MaillogReader(const MaillogReader&) = delete;
  MaillogReader& operator=(const MaillogReader&) = delete;

  // Process `pid` is about to be answered.
  void NoteQuery(uint32_t pid, std::string_view key, AnsweredPolicyPtr policy);

  // Asks it to read what is there, remember its position, and end.
  void StopSoon();
  bool has_ended() const;

 private:
  struct Query {
    uint32_t pid = 0;
    std::string key;
    AnsweredPolicyPtr policy;
    LogTime at{};
  };

  void ReadOn(const Open& open);
  // Both are false where there was nothing more.
  bool ReadSome();
  bool ReadSomeOrGiveUp();
  void Take(const LogRecord& record);
  bool IsForeign(const MaillogLine& line);
  void CountSessions();
  void TellOfProblems();
  void TellOfFault(const std::exception& error);
  bool stopping();

  const std::string host_;
  const Report report_;

  std::mutex mutex_;
  std::condition_variable stop_;
  // Guarded by mutex_.
  std::vector<Query> queries_;
  bool query_dropped_ = false;
  bool stopping_ = false;

  // Of the thread.
  std::unique_ptr<LogSource> source_;
  MaillogSessions sessions_{MaillogSessions::Limits()};
  std::vector<MaillogLine> lines_;
  std::string problem_;
  std::string save_problem_;
  bool own_lines_ = false;  // there were some
  std::string only_host_;   // until then: whose lines these are
  LogLimiter foreign_log_{1};
  LogLimiter fault_log_{1};

  struct Counted {
    uint64_t MaillogSessions::Counters::*field;
    prometheus::Counter* counter;
    uint64_t told = 0;
  };
  std::vector<Counted> counted_;
  prometheus::Counter& dropped_;
  prometheus::Counter& foreign_;
  prometheus::Gauge& failing_;

  std::promise<void> opened_;
  std::promise<void> ended_;
  std::future<void> is_ended_ = ended_.get_future();
  std::thread thread_;
};

}  // namespace postern
