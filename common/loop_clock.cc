#include "common/loop_clock.h"

#include <time.h>

namespace postern {

// Stands in the queue until it is due or destroyed.
class LoopClock::Call final : public Timer {
 public:
  Call(Calls& calls, SteadyTime when, std::function<void()> function)
      : calls_(calls),
        function_(std::move(function)),
        place_(calls.emplace(when, this)) {}
  ~Call() override {
    if (place_) calls_.erase(*place_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Out of the queue; this may be destroyed by what the function does.
  std::function<void()> Take() {
    calls_.erase(*place_);
    place_.reset();
    return std::move(function_);
  }

 private:
  Calls& calls_;
  std::function<void()> function_;
  std::optional<Calls::iterator> place_;
};

WallTime LoopClock::WallNow() const {
  return std::chrono::floor<Seconds>(std::chrono::system_clock::now());
}

BootTime LoopClock::BootNow() const {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return Seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::unique_ptr<Timer> LoopClock::CallAt(SteadyTime when,
                                         std::function<void()> call) {
  auto timer = std::make_unique<Call>(calls_, when, std::move(call));
  Arm();
  return timer;
}

void LoopClock::Arm() {
  if (calls_.empty()) return;
  const SteadyTime first = calls_.begin()->first;
  // Early is harmless: nothing is due then, and it is armed anew.
  if (armed_for_ && *armed_for_ <= first) return;
  armed_for_ = first;
  alarm_.expires_at(first);
  alarm_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    armed_for_.reset();
    RunDue();
    Arm();
  });
}

void LoopClock::RunDue() {
  const SteadyTime now = Now();
  while (!calls_.empty() && calls_.begin()->first <= now) {
    const auto function = calls_.begin()->second->Take();
    function();
  }
}

}  // namespace postern
