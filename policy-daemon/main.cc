// postern-policy: reads the command line and runs one command.

#include <cstdio>
#include <exception>
#include <optional>
#include <vector>

#include "common/log.h"
#include "common/options.h"

#include "policy-daemon/cache_command.h"
#include "policy-daemon/check_config.h"
#include "policy-daemon/failures_command.h"
#include "policy-daemon/query.h"
#include "policy-daemon/serve.h"
#include "policy-daemon/setup_command.h"

namespace postern {
namespace {

constexpr char kUsage[] =
    R"(postern-policy answers Postfix's smtp_tls_policy_maps from live MTA-STS
(RFC 8461) and DANE (RFC 7672) lookups, over socketmap.

Usage:
  postern-policy serve                 the daemon, in the foreground
  postern-policy query DOMAIN [--json] the reply that Postfix would get, and
                                       every fact behind it, looked up afresh
                                       and with the policy that the daemon
                                       remembers; DOMAIN as Postfix asks:
                                       example.com, example.com:587,
                                       [mx.example.com]
  postern-policy cache list            the MTA-STS policies remembered, with
  postern-policy cache show DOMAIN     ages and the time of the next look
  postern-policy cache purge DOMAIN... forgets them (--all: every one), in the
                                       running daemon, too
  postern-policy failures [--since 24h] [--domain DOMAIN] [--follow]
                                       TLS sessions that failed lately, what
                                       it means and who must act
                                       (failures --help tells more)
  postern-policy check-config          checks the configuration and this machine
  postern-policy setup [--remove] [--apply]
                                       shows what it would change in main.cf and
                                       master.cf for Postfix to ask the daemon,
                                       or to take that out again; --apply does
                                       it (setup --help tells more)

Try it:
  postern-policy query example.com
  postern-policy serve --policy.listen=unix:/tmp/policy.sock &
  postmap -q example.com socketmap:unix:/tmp/policy.sock:policy

Exit codes: 0 fine; 1 something is wrong with the domain or the machine asked
about; 2 usage or configuration; 75 a temporary failure.

More: postern-policy(8), postern.conf(5), postern-spool(5).

Options (each is also a key of the configuration file: [policy] listen = ...):
  --config FILE           read FILE [/etc/postern/postern.conf if it exists]
  --json                  query, cache, failures: JSON instead of text
  --version, --help
)";

bool IsOurs(std::string_view key) { return !key.starts_with("report."); }

// What was wired is to go out even where the configuration is broken. nullopt:
// that is not what is wanted, or not what is wrong.
std::optional<CommandLine> ParseRemoval(int argc, char** argv) {
  const auto words = WithoutConfiguration(argc, argv);
  std::vector<const char*> arguments;
  for (const std::string& word : words) arguments.push_back(word.c_str());
  auto line =
      ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
  if (!line || line->command != "setup" || !line->remove) return std::nullopt;
  return std::move(*line);
}

int Main(int argc, char** argv) {
  const auto line = ParseCommandLine(argc, argv);
  if (!line) {
    const auto removal = ParseRemoval(argc, argv);
    if (removal && !removal->help) Setup(*removal, line.error().message);
    std::fprintf(stderr, "postern-policy: %s\n", line.error().message.c_str());
    return 2;
  }
  if (line->help && line->command == "failures") {
    std::fputs(kFailuresHelp, stdout);
    return 0;
  }
  if (line->help && line->command == "setup") {
    std::fputs(kSetupHelp, stdout);
    return 0;
  }
  if (line->help) {
    std::printf("%s%s", kUsage, OptionsHelp(IsOurs).c_str());
    return 0;
  }
  if (line->version) {
    std::printf("postern-policy %s\n", POSTERN_VERSION);
    return 0;
  }
  SetLogLevel(line->options.log.level);
  if (line->command == "serve" && line->arguments.empty())
    return Serve(*line, argc, argv);
  // The other commands tell on standard output what serve would log.
  if (line->options.log.level < LogLevel::kWarn) SetLogLevel(LogLevel::kWarn);
  if (line->command == "query" && line->arguments.size() == 1)
    return Query(*line);
  if (line->command == "cache") return Cache(*line);
  if (line->command == "failures") return Failures(*line);
  if (line->command == "check-config" && line->arguments.empty())
    return CheckConfig(*line);
  if (line->command == "setup") Setup(*line, "");
  if (line->command == "query") {
    std::fprintf(stderr, "postern-policy: query needs one DOMAIN\n");
    return 2;
  }
  std::fprintf(stderr,
               "postern-policy: %s; commands are serve, query DOMAIN, cache, "
               "failures, check-config and setup (--help explains them)\n",
               line->command.empty() ? "no command given"
                                     : "that is not a command of mine");
  return 2;
}

}  // namespace
}  // namespace postern

int main(int argc, char** argv) {
  try {
    return postern::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "postern-policy: %s\n", error.what());
    return 2;
  }
}
