// When days are closed and deliveries tried.
//
// Pure: time is told to it.
#pragma once

#include <vector>

#include "common/clock.h"
#include "common/utc.h"

#include "report-sender/report_queue.h"
#include "report-sender/transport.h"

namespace postern {

// After midnight (UTC): until then the last outcomes of a day are written.
inline constexpr Seconds kGrace{5 * 60};

// Whether `day` is over, its last outcomes written.
bool HasEnded(Day day, WallTime now);

// The days that may be closed at `now`, the oldest first: yesterday, and those
// that may have been missed before.
std::vector<Day> DaysToClose(WallTime now);

// When a report of a day that was closed at `now` is to be delivered: within
// `jitter` (RFC 8460 section 4.1), always at the same place in it.
WallTime DeliveryTime(WallTime now, Seconds jitter, const std::string& key);

// RFC 8460 section 5.5: again after longer and longer, until `retry_for` after
// the first attempt; then given up.
Settlement SettlementOf(const Parcel& parcel, const Handover& handover,
                        WallTime now, Seconds retry_for);

// Whether the wall clock can be believed: a day that is closed while it is
// wrong would be reported in part. After a step, it has to go on evenly for
// kGrace first.
class ClockWatch {
 public:
  bool IsEven(SteadyTime steady, WallTime wall);

 private:
  std::optional<std::chrono::nanoseconds> offset_;
  SteadyTime even_since_{};
};

}  // namespace postern
