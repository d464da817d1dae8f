// Turns: what is dear lets in what is cheap.
//
// Whoever has a turn works on the loop for a while; so only a few are given in
// each of the loop's rounds, and between two rounds it looks after its sockets.
// Without this, 500 clients that ask about unknown domains make a round of half
// a second, in which each of the others gets one answer.
//
// Loop thread only. The turns outlive every wait.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include <boost/asio/post.hpp>

#include "common/awaitable.h"
#include "common/event.h"

namespace postern {

class Turns {
 public:
  // Both outlive the turns.
  Turns(boost::asio::any_io_executor executor, Clock& clock)
      : executor_(std::move(executor)), clock_(clock) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Ends when it is the caller's turn: first come, first served.
  Awaitable<void> Next() {
    const auto turn = std::make_shared<Event>(executor_, clock_);
    waiting_.push_back(turn);
    if (!std::exchange(giving_, true)) GiveSoon();
    co_await turn->WaitUntil(clock_.Now() + kLongest);
  }

 private:
  static constexpr int kPerRound = 4;
  // They come in milliseconds: a bound, nothing more.
  static constexpr Seconds kLongest{60};

  void GiveSoon() {
    // Behind what is ready now, the loop's look at its sockets included.
    boost::asio::post(executor_, [this] {
      for (int i = 0; i < kPerRound && !waiting_.empty(); ++i) {
        waiting_.front()->Set();
        waiting_.pop_front();
      }
      giving_ = !waiting_.empty();
      if (giving_) GiveSoon();
    });
  }

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  std::deque<std::shared_ptr<Event>> waiting_;
  bool giving_ = false;
};

}  // namespace postern
