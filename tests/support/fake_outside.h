// The world outside of a program, for tests: time, DNS, HTTPS, all under the
// test's hands.
//
//   world.dns.A("mx.example.com", "192.0.2.1").Insecure().After(3s);
//   world.https.Serve("mta-sts.example.com", policy).After(20s);
//   const auto answer = world.Start(SomeCoroutine(world.dns));
//   world.Pass(8s);
//   EXPECT_EQ(answer.value(), ...);
//
// Time is virtual: Pass() fires the timers that fall due, in order, and lets
// the loop run dry after each moment. Nothing sleeps, and the loop is only
// polled.
//
// The end of a test: a coroutine may wait for an Event that lives in its own
// frame, so that nobody but the Event's deadline can free it. Hence End(),
// before anything that coroutines refer to is destroyed (a fixture calls it
// in TearDown): what DNS and HTTPS still owe is answered with a failure, and
// time runs until no timer is left. A coroutine that outlives even that is
// reported.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "common/metrics.h"

#include "tests/support/fake_clock.h"
#include "tests/support/fake_dns.h"
#include "tests/support/fake_https.h"

namespace postern {

// A coroutine that was started, and what came of it.
template <class T>
class Started {
 public:
  bool done() const { return state_->value.has_value(); }
  // REQUIRES: done().
  const T& value() const { return state_->value.value(); }
  // When it ended, since the start of the test.
  Duration ended_at() const { return state_->ended_at; }

  struct State {
    std::optional<T> value;
    Duration ended_at{};
  };
  // Shared by the test and the coroutine.
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class FakeOutside {
 public:
  FakeOutside();

  template <class T>
  Started<T> Start(Awaitable<T> work) {
    Started<T> started;
    Spawn(loop.get_executor(), Keep<T>(std::move(work), started.state_));
    clock.RunReady();
    return started;
  }
  // Starts and goes on, at most for `patience`, until it has ended.
  template <class T>
  T Run(Awaitable<T> work, Duration patience = std::chrono::minutes(10)) {
    const Started<T> started = Start(std::move(work));
    const SteadyTime limit = clock.Now() + patience;
    while (!started.done() && clock.Now() < limit && clock.FireNext()) {
    }
    return std::move(started.state_->value.value());
  }
  void Pass(Duration time) { clock.AdvanceTo(clock.Now() + time); }
  // See above.
  void End();

  boost::asio::io_context loop;
  FakeClock clock{loop};
  Metrics metrics;
  FakeResolver dns{loop.get_executor(), clock};
  FakeHttps https{loop.get_executor(), clock};

 private:
  template <class T>
  Awaitable<void> Keep(Awaitable<T> work,
                       std::shared_ptr<typename Started<T>::State> state) {
    ++running_;
    T value = co_await std::move(work);
    state->value.emplace(std::move(value));
    state->ended_at = clock.since_start();
    --running_;
  }

  int running_ = 0;
};

}  // namespace postern
