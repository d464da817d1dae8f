// The real Clock, on an Asio loop.
#pragma once

#include <boost/asio/io_context.hpp>

#include "common/clock.h"

namespace postern {

class LoopClock final : public Clock {
 public:
  // `loop` outlives the clock and every timer.
  explicit LoopClock(boost::asio::io_context& loop) : loop_(loop) {}

  SteadyTime Now() const override { return std::chrono::steady_clock::now(); }
  WallTime WallNow() const override;
  std::unique_ptr<Timer> CallAt(SteadyTime when,
                                std::function<void()> call) override;

 private:
  boost::asio::io_context& loop_;
};

}  // namespace postern
