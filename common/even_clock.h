// EvenClock: whether the wall clock can be believed.
//
// A wall clock can be wrong at boot, and it can leap. Nothing durable is
// deleted, closed or given up by one look at it: it is believed only after it
// has gone evenly beside the boot clock, which nobody can set, for kEvenFor.
// The first look begins that wait, too.
//
// Pure: time is told to it. Each user has one of its own and looks at it at
// least every few minutes.
#pragma once

#include <chrono>
#include <optional>

#include "common/clock.h"

namespace postern {

class EvenClock {
 public:
  // Even: both clocks agree within kTolerance for kEvenFor. (A clock that is
  // slewed drifts less than that; one that is set, steps.)
  static constexpr Seconds kTolerance{2};
  static constexpr Seconds kEvenFor{10 * 60};

  // True once the two have gone evenly for kEvenFor, and since then.
  bool IsEven(BootTime boot, WallTime wall);

 private:
  // Wall time minus boot time at the beginning of the time that is watched.
  std::optional<std::chrono::nanoseconds> offset_;
  BootTime since_{};
  bool even_ = false;
};

}  // namespace postern
