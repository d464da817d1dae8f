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

// A day is tried to be closed for so many days; on the last of them, without
// what is missing. Later it is not closed any more.
inline constexpr int kCatchUpDays = 3;

bool IsLastChance(Day day, WallTime now);

// The days that may be closed at `now`, the oldest first: yesterday, and those
// that may have been missed before.
std::vector<Day> DaysToClose(WallTime now);

// When a report of a day that was closed at `now` is to be delivered: within
// `jitter` (RFC 8460 section 4.1), always at the same place in it.
WallTime DeliveryTime(WallTime now, Seconds jitter, const std::string& key);

// RFC 8460 section 5.5: again after longer and longer, until `retry_for` after
// the first attempt; then given up.
//
// A clock that leaps ahead gives nothing up: `clock_is_even` says whether it is
// believed (common/even_clock.h), and as many attempts must have been made as
// the pauses between them leave room for in `retry_for`. A leap makes at most
// one of them early.
Settlement SettlementOf(const Parcel& parcel, const Handover& handover,
                        WallTime now, Seconds retry_for, bool clock_is_even);

}  // namespace postern
