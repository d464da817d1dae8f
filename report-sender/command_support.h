// What the commands have in common: complaints, days, progress.
#pragma once

#include <optional>
#include <string>

#include "common/options.h"
#include "common/utc.h"

#include "report-sender/report_engine.h"

namespace postern {

inline constexpr int kFine = 0;
inline constexpr int kProblem = 1;
inline constexpr int kUsage = 2;
inline constexpr int kTemporary = 75;

// On standard error, as the program; returns `exit_code`.
int Complain(const std::string& message, int exit_code);

WallTime WallNow();

// The value of --day: 2026-11-22, "yesterday" or "today"; without it,
// yesterday.
Result<Day> DayOption(const CommandLine& line);

// The command's only argument in normal form; "" without one.
Result<std::string> DomainArgument(const CommandLine& line);

// "2 reports", "1 report".
std::string Counted(uint64_t count, const std::string& noun);

// Tells on standard error of spool folders that are not there.
void TellMissing(const std::vector<std::string>& folders);

// Tells on standard error how far long work is: on a terminal in one line that
// changes, else a line every ten seconds. Nothing about work of a second.
class ProgressMeter {
 public:
  explicit ProgressMeter(std::string what);
  ~ProgressMeter();
  ProgressMeter(const ProgressMeter&) = delete;
  ProgressMeter& operator=(const ProgressMeter&) = delete;

  void Show(uint64_t done, uint64_t all);

 private:
  const std::string what_;
  const bool is_terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point next_;
};

// Runs `work` on the loop until it has ended.
void RunToItsEnd(boost::asio::io_context& loop, Awaitable<void> work);

}  // namespace postern
