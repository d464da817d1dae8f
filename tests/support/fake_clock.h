// Virtual time: nothing sleeps, and the loop is only polled.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/awaitable.h"
#include "common/clock.h"

namespace postern {

using Duration = std::chrono::steady_clock::duration;

// A clock whose hands the test turns.
class FakeClock final : public Clock {
 public:
  // 2026-11-22T13:05:07Z.
  static constexpr WallTime kWallStart{Seconds(1795352707)};

  explicit FakeClock(boost::asio::io_context& loop) : loop_(loop) {}

  SteadyTime Now() const override { return now_; }
  WallTime WallNow() const override;
  BootTime BootNow() const override { return now_.time_since_epoch(); }
  std::unique_ptr<Timer> CallAt(SteadyTime when,
                                std::function<void()> call) override;

  // Lets the loop run until nothing is ready; time stands still.
  void RunReady();
  // Fires what falls due until `when`, each at its own time.
  void AdvanceTo(SteadyTime when);
  // True: time went on to the next timer; its call was made, with all others
  // of that moment.
  bool FireNext();
  // Somebody sets the wall clock; steady time goes on as it did.
  void StepWall(Seconds step) { wall_step_ += step; }
  Duration since_start() const { return now_ - kStart; }
  size_t timers() const { return calls_.size(); }
  // When the next one is due; SteadyTime::max() without one.
  SteadyTime NextTimer() const {
    return calls_.empty() ? SteadyTime::max() : calls_.begin()->first.first;
  }

 private:
  class FakeTimer;
  // The second part keeps calls of one moment in the order they were made.
  using Place = std::pair<SteadyTime, uint64_t>;
  static constexpr SteadyTime kStart{std::chrono::hours(1000)};

  boost::asio::io_context& loop_;
  SteadyTime now_ = kStart;
  Seconds wall_step_{0};
  uint64_t next_ = 0;
  std::map<Place, std::function<void()>> calls_;
};

// For fakes: a real adapter never answers from inside the call.
inline Awaitable<void> Turn(boost::asio::any_io_executor executor) {
  co_await boost::asio::post(executor, boost::asio::use_awaitable);
}

}  // namespace postern
