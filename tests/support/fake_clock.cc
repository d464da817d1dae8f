#include "tests/support/fake_clock.h"

#include <algorithm>

namespace postern {

class FakeClock::FakeTimer final : public Timer {
 public:
  FakeTimer(FakeClock& clock, Place place) : clock_(clock), place_(place) {}
  ~FakeTimer() override { clock_.calls_.erase(place_); }

 private:
  FakeClock& clock_;
  Place place_;
};

WallTime FakeClock::WallNow() const {
  return kWallStart + wall_step_ + std::chrono::floor<Seconds>(now_ - kStart);
}

std::unique_ptr<Timer> FakeClock::CallAt(SteadyTime when,
                                         std::function<void()> call) {
  const Place place{when, next_++};
  calls_.emplace(place, std::move(call));
  return std::make_unique<FakeTimer>(*this, place);
}

void FakeClock::RunReady() {
  do {
    loop_.restart();
  } while (loop_.poll() > 0);
}

bool FakeClock::FireNext() {
  RunReady();
  if (calls_.empty()) return false;
  now_ = std::max(now_, calls_.begin()->first.first);
  // What falls due together is called before the loop turns, as Asio does it.
  const uint64_t already = next_;
  while (!calls_.empty() && calls_.begin()->first.first <= now_ &&
         calls_.begin()->first.second < already) {
    auto call = calls_.extract(calls_.begin());
    call.mapped()();
  }
  RunReady();
  return true;
}

void FakeClock::AdvanceTo(SteadyTime when) {
  RunReady();
  while (!calls_.empty() && calls_.begin()->first.first <= when) FireNext();
  now_ = std::max(now_, when);
}

}  // namespace postern
