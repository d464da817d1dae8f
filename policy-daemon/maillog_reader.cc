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

// rsyslog writes it without the domain, by default.
std::string FirstLabel(std::string_view host) {
  return ToLowerAscii(host.substr(0, host.find('.')));
}

}  // namespace

MaillogReader::MaillogReader(std::unique_ptr<LogSource> source,
                             const std::string& host, Report report,
                             Metrics& metrics)
    : source_(std::move(source)),
      host_(FirstLabel(host)),
      report_(std::move(report)),
      dropped_(metrics.Counter("postern_maillog_queries_dropped_total",
                               "Queries whose sessions cannot be told, as the "
                               "log could not be read for so long")) {
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
  thread_ = std::thread([this] { ReadOn(); });
}

MaillogReader::~MaillogReader() {
  while (thread_.joinable()) Stop(Seconds(3600));
}

void MaillogReader::NoteQuery(uint32_t pid, std::string_view key,
                              AnsweredPolicyPtr policy) {
  const LogTime now = Now();
  const std::lock_guard lock(mutex_);
  if (queries_.size() >= kMaxQueries) return dropped_.Increment();
  queries_.push_back({pid, std::string(key), std::move(policy), now});
}

bool MaillogReader::Stop(Seconds patience) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  if (has_ended_.wait_for(patience) != std::future_status::ready) return false;
  thread_.join();
  return true;
}

// --- The thread.

void MaillogReader::ReadOn() {
  // Signals are for the main thread.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  for (bool stopping = false; !stopping;) {
    {
      std::unique_lock lock(mutex_);
      stop_.wait_for(lock, kReadInterval, [this] { return stopping_; });
      stopping = stopping_;
    }
    while (ReadSome()) {
    }
  }
  source_->Save();
  ended_.set_value();
}

bool MaillogReader::ReadSome() {
  lines_.clear();
  const bool more =
      source_->ReadSome(std::chrono::steady_clock::now(),
                        [this](const LogRecord& record) { Take(record); });
  TellOfProblem();
  // Noted before its session began; so every query of these lines is there.
  std::vector<Query> queries;
  {
    const std::lock_guard lock(mutex_);
    queries.swap(queries_);
  }
  for (Query& query : queries)
    sessions_.NoteQuery(query.pid, query.key, std::move(query.policy),
                        query.at);
  std::vector<Outcome> outcomes;
  for (const MaillogLine& line : lines_)
    for (Outcome& outcome : sessions_.TakeLine(line, Now()))
      outcomes.push_back(std::move(outcome));
  CountSessions();
  if (!outcomes.empty()) report_(std::move(outcomes));
  return more;
}

void MaillogReader::Take(const LogRecord& record) {
  auto line = ParseLogRecord(record, Now());
  if (line && !IsForeign(*line)) lines_.push_back(std::move(*line));
}

bool MaillogReader::IsForeign(const MaillogLine& line) {
  if (line.host.empty() || FirstLabel(line.host) == host_) return false;
  uint64_t suppressed = 0;
  if (foreign_log_.Allow(std::chrono::steady_clock::now(), &suppressed))
    Log(LogLevel::kWarn, "maillog_of_another_host",
        {{"host", Printable(line.host)},
         {"here", host_},
         {"suppressed", suppressed},
         {"effect", "its lines are left out"},
         {"advice", "let tlsrpt.maillog name a log of this machine alone"}});
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
void MaillogReader::TellOfProblem() {
  if (source_->problem() == problem_) return;
  problem_ = source_->problem();
  if (problem_.empty())
    Log(LogLevel::kInfo, "maillog_read_again");
  else
    Log(LogLevel::kError, "maillog_unread",
        {{"reason", problem_},
         {"effect", "outcomes of Postfix's sessions are missing"},
         {"advice",
          "run.user must be allowed to read it: adm owns files of rsyslog's, "
          "systemd-journal the journal (SupplementaryGroups)"}});
}

}  // namespace postern
