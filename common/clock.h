// Time as the program sees it, so that tests can turn the hands themselves.
//
// Steady time measures waits and TTLs; wall time dates what outlives the
// process, and is believed only where it goes evenly (even_clock.h). All calls
// come from the loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace postern {

using Seconds = std::chrono::seconds;
using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::sys_seconds;
// Since the machine's boot, time spent suspended included (CLOCK_BOOTTIME):
// what the wall clock is compared with.
using BootTime = std::chrono::nanoseconds;

// A call that is due later; destroying it cancels the call.
class Timer {
 public:
  virtual ~Timer() = default;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime Now() const = 0;
  virtual WallTime WallNow() const = 0;
  virtual BootTime BootNow() const = 0;
  // Calls `call` once from the loop, never from inside CallAt.
  virtual std::unique_ptr<Timer> CallAt(SteadyTime when,
                                        std::function<void()> call) = 0;
};

}  // namespace postern
