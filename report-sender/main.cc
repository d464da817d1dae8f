// postern-report: reads the command line and runs one command.

#include <cstdio>
#include <exception>

#include <sys/stat.h>

#include "common/log.h"
#include "common/options.h"

#include "report-sender/command_support.h"
#include "report-sender/report_commands.h"
#include "report-sender/serve.h"

namespace postern {
namespace {

constexpr char kUsageText[] =
    R"(postern-report tells other domains how TLS with them went: it turns the spool
of postern-policy into reports (RFC 8460), mailed or posted to where each
domain's _smtp._tls record says.

Usage:
  postern-report serve                 the daemon, in the foreground: closes each
                                       day at 00:05 UTC, builds its reports,
                                       delivers them within report.jitter and
                                       tries again for report.retry_for
  postern-report preview [--day DAY] [DOMAIN] [--mail]
                                       the reports that would be sent, as JSON a
                                       line each, or as the whole mails; where
                                       they would go is told on standard error
  postern-report send --day DAY [DOMAIN]
                                       the same, sent now; each report once,
                                       whoever sends it
  postern-report send --day DAY [DOMAIN] --to ADDRESS
                                       copies to ADDRESS alone; not recorded
  postern-report status [--day DAY] [--all] [--json]
                                       days, and reports that were not
                                       delivered, with the reasons (--all:
                                       every report)
  postern-report retry ID              tries again now what waits or was given up
  postern-report drop ID               gives up what waits
  postern-report resume ADDRESS        sends again to an address that is paused
                                       because its mails came back
  postern-report take-bounce           reads a mail that came back (for pipe(8));
                                       three days of them pause an address
  postern-report dkim                  the TXT records that the keys need, and
                                       whether DNS has them

DAY: 2026-11-22, yesterday (preview's default) or today; days are UTC. ID: as
status shows it, or its beginning.

Try it:
  postern-report preview --day today example.com
  postern-report send --day yesterday --to you@example.org example.com
  postern-report status

Exit codes: 0 fine; 1 something was given up, or there is no such thing; 2 usage
or configuration; 75 a temporary failure, or something waits.

More: postern-report(8), postern.conf(5), postern-spool(5).

Options (each is also a key of the configuration file: [report] jitter = ...):
  --config FILE           read FILE [/etc/postern/postern.conf if it exists]
  --version, --help
)";

bool IsOurs(std::string_view key) {
  for (const char* section : {"report.", "spool.", "dns.", "run.", "log."})
    if (key.starts_with(section)) return true;
  return false;
}

int Main(int argc, char** argv) {
  umask(027);  // what a spool tells of is nobody else's business
  const auto line = ParseCommandLine(argc, argv);
  if (!line) return Complain(line.error().message, kUsage);
  if (line->help) {
    std::printf("%s%s", kUsageText, OptionsHelp(IsOurs).c_str());
    return kFine;
  }
  if (line->version) {
    std::printf("postern-report %s\n", POSTERN_VERSION);
    return kFine;
  }
  SetLogLevel(line->options.log.level);
  if (line->command == "serve" && line->arguments.empty())
    return ServeReports(*line, argc, argv);
  // The other commands tell on standard output what serve would log.
  if (line->options.log.level < LogLevel::kWarn) SetLogLevel(LogLevel::kWarn);
  if (line->command == "preview") return PreviewReports(*line);
  if (line->command == "send") return SendReports(*line);
  if (line->command == "dkim" && line->arguments.empty())
    return ShowDkim(*line);
  if (line->command == "status" && line->arguments.empty())
    return ReportStatus(*line);
  if (line->command == "retry" || line->command == "drop")
    return ChangeReports(*line);
  if (line->command == "take-bounce" && line->arguments.empty())
    return TakeBounce(*line);
  if (line->command == "resume") return ResumeAddress(*line);
  return Complain(
      (line->command.empty() ? "no command given"
                             : "that is not a command of mine") +
          std::string("; commands are serve, preview, send, "
                      "status, retry, drop, resume, take-bounce and "
                      "dkim (--help "
                      "explains them)"),
      kUsage);
}

}  // namespace
}  // namespace postern

int main(int argc, char** argv) {
  try {
    return postern::Main(argc, argv);
  } catch (const std::exception& error) {
    return postern::Complain(error.what(), postern::kUsage);
  }
}
