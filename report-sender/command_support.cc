#include "report-sender/command_support.h"

#include <cstdio>
#include <utility>

#include <unistd.h>

#include "common/domain_name.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr std::chrono::seconds kTerminalInterval{1};
constexpr std::chrono::seconds kLineInterval{10};

}  // namespace

int Complain(const std::string& message, int exit_code) {
  std::fprintf(stderr, "postern-report: %s\n", message.c_str());
  return exit_code;
}

void TellMissing(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders)
    std::fprintf(stderr,
                 "postern-report: %s is not there (spool.directory): is it "
                 "mounted? What it holds is missing here\n",
                 folder.c_str());
}

WallTime WallNow() {
  return std::chrono::floor<Seconds>(std::chrono::system_clock::now());
}

Result<Day> DayOption(const CommandLine& line) {
  const Day today = DayOf(WallNow());
  const std::string text = line.day.value_or("yesterday");
  if (text == "today") return today;
  if (text == "yesterday") return today - std::chrono::days(1);
  if (const auto day = ParseDay(text)) return *day;
  return Error{"--day cannot be '" + Printable(text) +
               "'; expected a day such as 2026-11-22, today or yesterday"};
}

Result<std::string> DomainArgument(const CommandLine& line) {
  if (line.arguments.empty()) return std::string();
  if (line.arguments.size() > 1)
    return Error{line.command + " takes one DOMAIN at most"};
  auto domain = NormalizeDomain(line.arguments.front());
  if (!domain)
    return Error{"'" + Printable(line.arguments.front()) + "' is no domain"};
  return *domain;
}

std::string Counted(uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

ProgressMeter::ProgressMeter(std::string what)
    : what_(std::move(what)),
      is_terminal_(isatty(STDERR_FILENO) == 1),
      next_(std::chrono::steady_clock::now() +
            (is_terminal_ ? kTerminalInterval : kLineInterval)) {}

ProgressMeter::~ProgressMeter() {
  if (shown_ && is_terminal_) std::fputs("\r\033[K", stderr);
}

void ProgressMeter::Show(uint64_t done, uint64_t all) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + (is_terminal_ ? kTerminalInterval : kLineInterval);
  shown_ = true;
  std::fprintf(stderr, "%s%s: %llu of %llu%s", is_terminal_ ? "\r\033[K" : "",
               what_.c_str(), static_cast<unsigned long long>(done),
               static_cast<unsigned long long>(all), is_terminal_ ? "" : "\n");
  std::fflush(stderr);
}

void RunToItsEnd(boost::asio::io_context& loop, Awaitable<void> work) {
  boost::asio::co_spawn(loop, std::move(work),
                        [&loop](const std::exception_ptr& exception) {
                          loop.stop();
                          if (exception) std::rethrow_exception(exception);
                        });
  loop.run();
}

}  // namespace postern
