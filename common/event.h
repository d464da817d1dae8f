// Event: what coroutines of the loop wait for, until a deadline.
//
// One-shot: once set it stays set. Waiters are resumed from the loop, after
// Set() has returned, each exactly once. A waiter that is left when the event
// goes is destroyed with it, unresumed.
#pragma once

#include <list>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/awaitable.h"
#include "common/clock.h"

namespace postern {

class Event {
 public:
  // Both outlive the event.
  Event(boost::asio::any_io_executor executor, Clock& clock)
      : executor_(std::move(executor)), clock_(clock) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  bool is_set() const { return set_; }

  void Set() {
    set_ = true;
    while (!waiters_.empty()) Resume(waiters_.begin(), true);
  }

  // True: set. False: the deadline came first. The event must outlive the
  // wait (its owner is shared with the waiter where that is not plain).
  Awaitable<bool> WaitUntil(SteadyTime deadline) {
    if (set_) co_return true;
    co_return co_await boost::asio::async_initiate<
        const boost::asio::use_awaitable_t<>, void(bool)>(
        [this, deadline](auto handler) {
          const auto waiter = waiters_.emplace(waiters_.end());
          waiter->handler = std::make_unique<HandlerOf<decltype(handler)>>(
              std::move(handler));
          waiter->timer = clock_.CallAt(
              deadline, [this, waiter] { Resume(waiter, false); });
        },
        boost::asio::use_awaitable);
  }

 private:
  // (Asio's any_completion_handler cannot be moved in Boost 1.81.)
  struct Handler {
    virtual ~Handler() = default;
    virtual void Call(bool value) = 0;
  };
  template <class T>
  struct HandlerOf final : Handler {
    explicit HandlerOf(T&& t) : handler(std::move(t)) {}
    void Call(bool value) override { handler(value); }
    T handler;
  };
  struct Waiter {
    std::unique_ptr<Handler> handler;
    std::unique_ptr<Timer> timer;
  };

  void Resume(std::list<Waiter>::iterator waiter, bool value) {
    // Taken out first: the timer's destructor may run inside its own call.
    auto handler = std::move(waiter->handler);
    waiters_.erase(waiter);
    boost::asio::post(executor_, [handler = std::move(handler), value] {
      handler->Call(value);
    });
  }

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  bool set_ = false;
  std::list<Waiter> waiters_;
};

}  // namespace postern
