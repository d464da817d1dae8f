#include "policy-daemon/failures_command.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>

#include <poll.h>
#include <unistd.h>

#include "common/accounts.h"
#include "common/domain_name.h"
#include "common/outcome_json.h"
#include "common/text.h"
#include "common/utc.h"

#include "policy-daemon/failure_text.h"
#include "policy-daemon/spool_tail.h"

namespace postern {
namespace {

constexpr char kDefaultSince[] = "24h";
constexpr std::chrono::milliseconds kMinSince = Seconds(1);
constexpr std::chrono::milliseconds kMaxSince = std::chrono::days(3650);
// How often --follow looks for more.
constexpr int kPollMilliseconds = 500;

volatile std::sig_atomic_t interrupted = 0;

int Complain(const std::string& message, int exit_code) {
  std::fprintf(stderr, "postern-policy: %s\n", message.c_str());
  return exit_code;
}

// From the first Ctrl-C on, --follow comes to its end, and to its totals.
void EndOnInterrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = SA_RESETHAND;  // without SA_RESTART: it wakes poll()
  sigaction(SIGINT, &action, nullptr);
}

// Sleeps, unless the reader of a pipe is gone: then writing to it ends us
// without a word (SIGPIPE).
bool WaitForMore() {
  pollfd reader{STDOUT_FILENO, 0, 0};
  return poll(&reader, 1, kPollMilliseconds) <= 0 && !interrupted;
}

std::string SkippedText(uint64_t lines) {
  return std::to_string(lines) + (lines == 1 ? " line was" : " lines were") +
         " skipped: torn, or not of the spool's format.";
}

bool IsThere(const std::string& directory) {
  std::error_code unknown;
  return std::filesystem::exists(directory, unknown) || unknown;
}

class Printer {
 public:
  Printer(const FailuresRequest& request, std::FILE* out)
      : request_(request), out_(out) {}

  void Print(const Outcome& outcome) {
    if (outcome.at < request_.since) return;
    if (!request_.domain.empty() && outcome.domain != request_.domain) return;
    summary_.Add(outcome);
    if (!IsFailure(outcome)) return;
    any_ = true;
    if (request_.json) {
      line_.clear();
      AppendOutcomeLine(outcome, line_);
      Put(line_);
    } else {
      for (FailureRow& row : FailureRows(outcome))
        Put(table_.Add(std::move(row)));
    }
  }

  // There is no more for now: all that was printed is to be seen.
  void Flush() {
    if (!request_.json && (any_ || request_.wait)) Put(table_.Flush());
    std::fflush(out_);
  }

  void End(uint64_t skipped) {
    if (!request_.json) PutSummary();
    if (skipped > 0) {
      std::fflush(out_);
      std::fprintf(request_.json ? stderr : out_, "%s\n",
                   SkippedText(skipped).c_str());
    }
    std::fflush(out_);
  }

 private:
  void Put(const std::string& text) { std::fputs(text.c_str(), out_); }

  void PutSummary() {
    if (any_)
      Put("\n" + summary_.Explanations() +
          "\nMore about a domain: postern-policy query DOMAIN\n");
    std::string where = "since " + FormatUtc(request_.since);
    if (!request_.domain.empty()) where += " at " + request_.domain;
    Put(summary_.Totals(where));
  }

  const FailuresRequest& request_;
  std::FILE* const out_;
  FailureTable table_;
  FailureSummary summary_;
  bool any_ = false;
  std::string line_;
};

Result<WallTime> SinceOf(const std::string& text) {
  const auto span = ParseDuration(text);
  if (!span || *span < kMinSince || *span > kMaxSince)
    return Error{"--since cannot be '" + Printable(text) +
                 "'; expected a duration from 1s to 3650d, such as 90s, 30m, "
                 "12h or 3d"};
  return std::chrono::floor<Seconds>(std::chrono::system_clock::now() - *span);
}

}  // namespace

const char kFailuresHelp[] =
    R"(postern-policy failures shows which TLS sessions with other domains failed,
and what was found wrong with them, from the spool that the daemon writes. Of
domains that want no reports (without a record at _smtp._tls.DOMAIN), Postfix
3.10 and later tells nothing.

Usage:
  postern-policy failures [--since 24h] [--domain DOMAIN] [--follow] [--json]

  --since DURATION  how far back: 90s, 30m, 12h, 3d [24h]
  --domain DOMAIN   failures at this domain alone
  --follow          go on as they happen, until Ctrl-C
  --json            the spool's lines instead of a table, for jq
                    (docs/spool-format.md)

Times are UTC. Below the table stands what each kind of failure means, and who
must act. FAILED counts sessions; "none": something was found, but mail went
out all the same.

Try it:
  postern-policy failures --since 1h
  postern-policy failures --follow --domain example.com
  postern-policy failures --json | jq -r '.domain' | sort | uniq -c

Exit codes: 0 fine, with failures or without; 1 there is no spool, or it cannot
be read; 2 usage or configuration.
)";

int PrintFailures(const FailuresRequest& request, std::FILE* out) {
  if (!IsThere(request.directory)) {
    if (!request.wait)
      return Complain(
          "there is no folder " + request.directory +
              " yet: the daemon makes it for the first outcome. Is it running "
              "(postern-policy serve), with this spool.directory, and "
              "does Postfix report to it (smtp_tlsrpt_enable, "
              "smtp_tlsrpt_socket_name; before 3.10, tlsrpt.maillog)?",
          1);
    Complain("there is no folder " + request.directory + " yet; waiting for it",
             0);
  }
  SpoolTail tail(request.directory, DayOf(request.since));
  Printer printer(request, out);
  do {
    while (!interrupted) {
      const auto outcome = tail.Next();
      if (!outcome) break;
      printer.Print(*outcome);
    }
    printer.Flush();
    if (!tail.status())
      return Complain(
          tail.status().error().message + " (see spool.directory and run.user)",
          1);
  } while (request.wait && request.wait());
  printer.End(tail.skipped());
  return 0;
}

int Failures(const CommandLine& line) {
  if (!line.arguments.empty())
    return Complain(
        "failures takes options alone: --since, --domain, --follow "
        "and --json (failures --help explains them)",
        2);
  const auto since = SinceOf(line.since.value_or(kDefaultSince));
  if (!since) return Complain(since.error().message, 2);
  FailuresRequest request;
  request.directory = line.options.spool.directory + "/outcomes";
  request.since = *since;
  request.json = line.json;
  if (line.domain) {
    const auto domain = NormalizeDomain(*line.domain);
    if (!domain)
      return Complain("--domain: " + Printable(*line.domain) + " is no domain",
                      2);
    request.domain = *domain;
  }
  const Status become = Become(CommandAccount(
      {line.options.run.user, line.options.run.group}, request.directory));
  if (!become) return Complain(become.error().message, 2);
  if (line.follow) {
    EndOnInterrupt();
    request.wait = WaitForMore;
  }
  return PrintFailures(request, stdout);
}

}  // namespace postern
