// SpoolExpiry: removes the day files that nobody needs any more.
//
// A wrong clock must not delete what has not been reported. So a file goes when
//
//   - the wall clock has gone evenly (common/even_clock.h),
//   - its day is more than keep_days before today, and postern-report has
//     marked it as reported (common/spool_files.h); or more than twice as
//     many, where nobody reports, or has not come to it,
//   - there are keep_days files of later days: the newest ones stay, whatever
//     the clock says,
//   - no more than kMostADay have gone within a day of the boot clock.
//
// Contract: one thread; Look() is called every few minutes at least, and reads
// the folder once an hour.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/even_clock.h"
#include "common/utc.h"

namespace postern {

class SpoolExpiry {
 public:
  static constexpr size_t kMostADay = 2;

  // `directory`: of the day files.
  SpoolExpiry(std::string directory, int keep_days)
      : directory_(std::move(directory)), keep_days_(keep_days) {}

  struct Removed {
    std::vector<std::string> files;  // paths
    std::string error;               // "": all that were due
  };
  Removed Look(BootTime boot, WallTime wall);

 private:
  std::string directory_;
  int keep_days_;
  EvenClock clock_;
  std::optional<BootTime> next_look_;
};

// Which of the days (sorted) may go, the oldest first; see above. Pure.
std::vector<Day> DaysToRemove(const std::vector<Day>& days, Day today,
                              int keep_days,
                              const std::function<bool(Day)>& is_reported);

}  // namespace postern
