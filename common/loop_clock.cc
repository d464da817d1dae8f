#include "common/loop_clock.h"

#include <boost/asio/steady_timer.hpp>

namespace postern {
namespace {

class LoopTimer final : public Timer {
 public:
  LoopTimer(boost::asio::io_context& loop, SteadyTime when,
            std::function<void()> call)
      : timer_(loop, when),
        call_(std::make_shared<std::function<void()>>(std::move(call))) {
    // Weak: a wait that has ended but not yet been reported cannot be
    // cancelled any more, and must find nothing to call.
    timer_.async_wait(
        [weak = std::weak_ptr(call_)](boost::system::error_code error) {
          if (error) return;
          if (const auto held = weak.lock()) (*held)();
        });
  }

 private:
  boost::asio::steady_timer timer_;
  std::shared_ptr<std::function<void()>> call_;
};

}  // namespace

WallTime LoopClock::WallNow() const {
  return std::chrono::floor<Seconds>(std::chrono::system_clock::now());
}

std::unique_ptr<Timer> LoopClock::CallAt(SteadyTime when,
                                         std::function<void()> call) {
  return std::make_unique<LoopTimer>(loop_, when, std::move(call));
}

}  // namespace postern
