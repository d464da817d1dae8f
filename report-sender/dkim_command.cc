#include <cstdio>
#include <cstdlib>

#include "report-sender/command_support.h"
#include "report-sender/report_commands.h"

namespace postern {
namespace {

// RFC 1035 section 3.3.14: a TXT record is of strings of 255 bytes.
constexpr size_t kMaxTxtString = 255;

std::string TxtStrings(std::string_view record) {
  std::string strings;
  for (; !record.empty();
       record.remove_prefix(std::min(kMaxTxtString, record.size()))) {
    if (!strings.empty()) strings += ' ';
    strings.append("\"").append(record.substr(0, kMaxTxtString)).append("\"");
  }
  return strings;
}

Awaitable<void> Show(ReportEngine& engine, int* exit_code) {
  const std::vector<PublishedKey> keys = co_await engine.PublishedKeys();
  for (const PublishedKey& key : keys) {
    std::printf("; %s, %s\n%s. IN TXT %s\n", key.algorithm.c_str(),
                key.problem.empty() ? "published" : key.problem.c_str(),
                key.name.c_str(), TxtStrings(key.record).c_str());
    if (!key.problem.empty()) *exit_code = kProblem;
  }
  const ReportConfiguration& configuration = *engine.configuration;
  for (const std::string& parameter : configuration.rewriters)
    *exit_code = Complain(
        "Postfix's " + parameter + " rewrites " +
            configuration.identity.sender +
            " in the From field, behind the signature: receivers would ignore "
            "the reports; set report.sender_address to an address that it "
            "leaves alone",
        kProblem);
  if (keys.empty())
    *exit_code = Complain(
        "no key signs: set report.dkim_key and report.dkim_selector", kProblem);
}

}  // namespace

int ShowDkim(const CommandLine& line) {
  auto configuration = LoadReportConfiguration(line.options, HostName());
  if (!configuration) return Complain(configuration.error().message, kUsage);
  auto queue = OpenNoQueue(**configuration);
  if (!queue) return Complain(queue.error().message, kUsage);
  boost::asio::io_context loop(1);
  auto engine = ReportEngine::Create(loop, *configuration, std::move(*queue));
  if (!engine) return Complain(engine.error().message, kUsage);
  int exit_code = kFine;
  RunToItsEnd(loop, Show(**engine, &exit_code));
  std::fflush(stdout);
  std::_Exit(exit_code);
}

}  // namespace postern
