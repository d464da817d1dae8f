#include "policy-daemon/maillog_reader.h"

#include <utility>

#include <signal.h>

#include <pthread.h>

#include "common/text.h"

namespace postern {
namespace {

using Counters = MaillogSessions::Counters;

constexpr std::chrono::milliseconds kReadInterval{250};
// Between two reads; beyond it, the disk hangs.
constexpr size_t kMaxQueries = 100000;
// For the log to be opened, before anything is answered.
constexpr Seconds kOpenPatience{2};

constexpr std::pair<uint64_t Counters::*, const char*> kResults[] = {
    {&Counters::reported, "reported"},
    {&Counters::without_query, "without_query"},
    {&Counters::ambiguous, "ambiguous"},
    {&Counters::not_reportable, "not_reportable"},
    {&Counters::unclear, "unclear"},
    {&Counters::unfinished, "unfinished"},
};

LogTime Now() {
  return std::chrono::floor<std::chrono::microseconds>(
      std::chrono::system_clock::now());
}

// rsyslog writes a name without its domain, by default.
bool IsSameHost(std::string_view a, std::string_view b) {
  const auto lower_a = ToLowerAscii(a), lower_b = ToLowerAscii(b);
  const size_t dot_a = lower_a.find('.'), dot_b = lower_b.find('.');
  if (dot_a != lower_a.npos && dot_b != lower_b.npos) return lower_a == lower_b;
  return lower_a.substr(0, dot_a) == lower_b.substr(0, dot_b);
}

}  // namespace

MaillogReader::MaillogReader(Open open, const std::string& host, Report report,
                             Metrics& metrics)
    : host_(host),
      report_(std::move(report)),
      dropped_(metrics.Counter("postern_maillog_queries_dropped_total",
                               "Queries whose sessions cannot be told, as the "
                               "log could not be read for so long")),
      foreign_(metrics.Counter("postern_maillog_foreign_lines_total",
                               "Lines of other hosts in Postfix's log")),
      failing_(metrics.Gauge("postern_maillog_failing",
                             "1 while Postfix's log cannot be read")) {
  for (const auto& [field, result] : kResults)
    counted_.push_back(
        {field, &metrics.Counter("postern_maillog_sessions_total",
                                 "Sessions that Postfix's log tells of",
                                 {{"result", result}})});
  counted_.push_back(
      {&Counters::unknown_lines,
       &metrics.Counter("postern_maillog_unknown_lines_total",
                        "Lines of Postfix's log that begin like one that "
                        "matters, and do not go on so")});
  thread_ = std::thread([this, open = std::move(open)] { ReadOn(open); });
  opened_.get_future().wait_for(kOpenPatience);
}

MaillogReader::~MaillogReader() {
  StopSoon();
  thread_.join();
}

void MaillogReader::NoteQuery(uint32_t pid, std::string_view key,
                              AnsweredPolicyPtr policy) {
  const LogTime now = Now();
  const std::lock_guard lock(mutex_);
  if (queries_.size() >= kMaxQueries) {
    query_dropped_ = true;
    return dropped_.Increment();
  }
  queries_.push_back({pid, std::string(key), std::move(policy), now});
}

void MaillogReader::StopSoon() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
}

bool MaillogReader::has_ended() const {
  return is_ended_.wait_for(Seconds(0)) == std::future_status::ready;
}

// --- The thread.

void MaillogReader::ReadOn(const Open& open) {
  // Signals are for the main thread.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  source_ = open();
  opened_.set_value();
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex_);
      stop_.wait_for(lock, kReadInterval, [this] { return stopping_; });
      last = stopping_;
    }
    // What is beyond the first part at the end is for the next start.
    while (ReadSomeOrGiveUp() && !stopping()) {
    }
  }
  source_->Save();
  source_.reset();
  ended_.set_value();
}

bool MaillogReader::stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool MaillogReader::ReadSome() {
  lines_.clear();
  const bool more =
      source_->ReadSome(std::chrono::steady_clock::now(),
                        [this](const LogRecord& record) { Take(record); });
  TellOfProblems();
  // Noted before its session began; so every query of these lines is there.
  std::vector<Query> queries;
  bool dropped = false;
  {
    const std::lock_guard lock(mutex_);
    queries.swap(queries_);
    dropped = std::exchange(query_dropped_, false);
  }
  for (Query& query : queries)
    sessions_.NoteQuery(query.pid, query.key, std::move(query.policy),
                        query.at);
  // A process's last query may be missing: none can be believed.
  if (dropped) sessions_.ForgetQueries();
  std::vector<Outcome> outcomes;
  for (const MaillogLine& line : lines_)
    for (Outcome& outcome : sessions_.TakeLine(line, Now()))
      outcomes.push_back(std::move(outcome));
  CountSessions();
  if (!outcomes.empty()) report_(std::move(outcomes));
  return more;
}

// What is thrown, mostly std::bad_alloc, must not end the daemon: mail would
// stop for a log.
bool MaillogReader::ReadSomeOrGiveUp() {
  try {
    return ReadSome();
  } catch (const std::exception& error) {
    TellOfFault(error);
    sessions_.ForgetQueries();  // some may not have been noted
    return false;
  }
}

// Here only one line is lost, and it is not read again.
void MaillogReader::Take(const LogRecord& record) {
  try {
    auto line = ParseLogRecord(record, Now());
    if (line && !IsForeign(*line)) lines_.push_back(std::move(*line));
  } catch (const std::exception& error) {
    TellOfFault(error);
  }
}

void MaillogReader::TellOfFault(const std::exception& error) {
  uint64_t suppressed = 0;
  if (fault_log_.Allow(std::chrono::steady_clock::now(), &suppressed))
    Log(LogLevel::kError, "maillog_given_up",
        {{"reason", error.what()},
         {"suppressed", suppressed},
         {"effect", "sessions are not told of; mail is not affected"}});
}

bool MaillogReader::IsForeign(const MaillogLine& line) {
  if (line.host.empty()) return false;
  if (IsSameHost(line.host, host_)) {
    own_lines_ = true;
    return false;
  }
  if (only_host_.empty()) only_host_ = line.host;
  if (!own_lines_ && line.host == only_host_) return false;
  foreign_.Increment();
  uint64_t suppressed = 0;
  if (foreign_log_.Allow(std::chrono::steady_clock::now(), &suppressed))
    Log(LogLevel::kWarn, "maillog_of_another_host",
        {{"host", Printable(line.host)},
         {"here", own_lines_ ? host_ : Printable(only_host_)},
         {"suppressed", suppressed},
         {"effect", "its lines are left out"}});
  return true;
}

void MaillogReader::CountSessions() {
  for (Counted& one : counted_) {
    const uint64_t now = sessions_.counters().*one.field;
    one.counter->Increment(
        static_cast<double>(now - std::exchange(one.told, now)));
  }
}

// One line at each change.
void MaillogReader::TellOfProblems() {
  if (source_->problem() != problem_) {
    problem_ = source_->problem();
    failing_.Set(problem_.empty() ? 0 : 1);
    if (problem_.empty())
      Log(LogLevel::kInfo, "maillog_read_again");
    else
      Log(LogLevel::kError, "maillog_unread",
          {{"reason", problem_},
           {"effect", "outcomes of Postfix's sessions are missing"},
           {"advice",
            "run.user must be in the group that may read it: adm for rsyslog's "
            "files, systemd-journal for the journal"}});
  }
  if (source_->save_problem() != save_problem_) {
    save_problem_ = source_->save_problem();
    if (!save_problem_.empty())
      Log(LogLevel::kError, "maillog_position_not_written",
          {{"reason", save_problem_},
           {"effect", "the next start begins at an older position"},
           {"advice", "cache.directory must be writable"}});
  }
}

}  // namespace postern
