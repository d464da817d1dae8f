// The real Clock, on an Asio loop.
//
// One Asio timer serves all calls that are due later: most are cancelled long
// before, and to arm and cancel an Asio timer for each would cost more than
// the lookups that they guard.
#pragma once

#include <map>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/clock.h"

namespace postern {

class LoopClock final : public Clock {
 public:
  // `loop` outlives the clock, the clock outlives every timer.
  explicit LoopClock(boost::asio::io_context& loop) : alarm_(loop) {}

  SteadyTime Now() const override { return std::chrono::steady_clock::now(); }
  WallTime WallNow() const override;
  BootTime BootNow() const override;
  std::unique_ptr<Timer> CallAt(SteadyTime when,
                                std::function<void()> call) override;

 private:
  class Call;
  using Calls = std::multimap<SteadyTime, Call*>;

  void Arm();
  void RunDue();

  boost::asio::steady_timer alarm_;
  std::optional<SteadyTime> armed_for_;
  Calls calls_;
};

}  // namespace postern
