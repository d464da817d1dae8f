#include "policy-daemon/spool_expiry.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <unistd.h>

#include "common/spool_files.h"

namespace postern {
namespace {

constexpr std::chrono::hours kLookInterval{1};
constexpr std::chrono::hours kADay{24};

}  // namespace

std::vector<Day> DaysToRemove(const std::vector<Day>& days, Day today,
                              int keep_days,
                              const std::function<bool(Day)>& is_reported) {
  std::vector<Day> due;
  const auto newest = static_cast<size_t>(keep_days);
  for (size_t i = 0; i + newest < days.size(); ++i) {
    if (due.size() == SpoolExpiry::kMostADay) break;
    const std::chrono::days age = today - days[i];
    const std::chrono::days kept(is_reported(days[i]) ? keep_days
                                                      : 2 * keep_days);
    if (age > kept) due.push_back(days[i]);
  }
  return due;
}

SpoolExpiry::Removed SpoolExpiry::Look(BootTime boot, WallTime wall) {
  if (!clock_.IsEven(boot, wall) || (next_look_ && boot < *next_look_))
    return {};
  next_look_ = boot + kLookInterval;
  // Before the first outcome there is no folder.
  std::error_code none;
  if (!std::filesystem::exists(directory_, none)) return {};
  const auto days = ListSpoolDays(directory_);
  if (!days) return {{}, days.error().message};
  const auto is_reported = [this](Day day) {
    return IsMarkedReported(directory_, day);
  };
  Removed removed;
  for (const Day day :
       DaysToRemove(*days, DayOf(wall), keep_days_, is_reported)) {
    const std::string path = SpoolPath(directory_, day);
    next_look_ = boot + kADay;
    if (unlink(path.c_str()) == 0)
      removed.files.push_back(path);
    else
      removed.error = "cannot remove " + path + ": " + std::strerror(errno);
  }
  return removed;
}

}  // namespace postern
