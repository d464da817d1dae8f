#include "common/even_clock.h"

namespace postern {

bool EvenClock::IsEven(BootTime boot, WallTime wall) {
  const std::chrono::nanoseconds offset = wall.time_since_epoch() - boot;
  const bool agrees = offset_ && offset <= *offset_ + kTolerance &&
                      offset >= *offset_ - kTolerance;
  if (agrees && boot - since_ < kEvenFor) return even_;
  even_ = agrees;
  offset_ = offset;
  since_ = boot;
  return even_;
}

}  // namespace postern
