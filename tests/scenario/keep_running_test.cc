// What runs for ever survives exceptions, but not for ever.
#include "common/keep_running.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "common/event.h"

#include "tests/support/fake_clock.h"

namespace postern {
namespace {

class KeepRunningTest : public testing::Test {
 protected:
  Restarts MakeRestarts() {
    return Restarts(metrics, "test", [this] { ++gave_up; });
  }
  double restarts() {
    return metrics
        .Counter("postern_task_restarts_total", "", {{"task", "test"}})
        .Value();
  }
  void Run(std::function<Awaitable<void>()> start) {
    Spawn(loop.get_executor(), KeepRunning(loop.get_executor(), clock,
                                           MakeRestarts(), std::move(start)));
    clock.RunReady();
  }

  boost::asio::io_context loop;
  FakeClock clock{loop};
  Metrics metrics;
  int gave_up = 0;
};

TEST_F(KeepRunningTest, WhatAnExceptionEndsStartsAgainAfterASecond) {
  int starts = 0;
  Run([&]() -> Awaitable<void> {
    if (++starts == 1) throw std::runtime_error("a bug");
    co_return;
  });
  EXPECT_EQ(starts, 1);
  clock.AdvanceTo(clock.Now() + kRestartPause);
  EXPECT_EQ(starts, 2);
  EXPECT_EQ(restarts(), 1);
  EXPECT_EQ(gave_up, 0);
}

TEST_F(KeepRunningTest, WhatEndsByItselfIsNotStartedAgain) {
  int starts = 0;
  Run([&]() -> Awaitable<void> {
    ++starts;
    co_return;
  });
  clock.AdvanceTo(clock.Now() + std::chrono::hours(1));
  EXPECT_EQ(starts, 1);
  EXPECT_EQ(restarts(), 0);
}

TEST_F(KeepRunningTest, TheFifthTimeWithinAMinuteTheProgramEnds) {
  int starts = 0;
  Run([&]() -> Awaitable<void> {
    if (++starts <= 5) throw std::runtime_error("a bug");
    co_return;
  });
  clock.AdvanceTo(clock.Now() + kRestartPause * 3);
  EXPECT_EQ(starts, 4);
  EXPECT_EQ(gave_up, 0);
  clock.AdvanceTo(clock.Now() + kRestartPause);
  EXPECT_EQ(gave_up, 1);
  clock.AdvanceTo(clock.Now() + kRestartPause);
}

TEST_F(KeepRunningTest, FourAMinuteGoOnForEver) {
  int starts = 0;
  Run([&]() -> Awaitable<void> {
    if (++starts > 241) co_return;
    Event pause(loop.get_executor(), clock);
    co_await pause.WaitUntil(clock.Now() + Seconds(14));
    throw std::runtime_error("a bug");
  });
  clock.AdvanceTo(clock.Now() + std::chrono::hours(1));
  EXPECT_EQ(starts, 241);
  EXPECT_EQ(gave_up, 0);
  clock.AdvanceTo(clock.Now() + std::chrono::minutes(1));
  EXPECT_EQ(starts, 242);
}

TEST_F(KeepRunningTest, AHandlerThatThrowsDoesNotEndTheLoop) {
  bool ran = false;
  boost::asio::post(loop, [] { throw std::runtime_error("a bug"); });
  boost::asio::post(loop, [&] { ran = true; });
  RunLoop(loop, clock, MakeRestarts());
  EXPECT_TRUE(ran);
  EXPECT_EQ(restarts(), 1);
}

TEST_F(KeepRunningTest, AnItemThatThrowsIsCounted) {
  const uint64_t before = failed_work.load();
  const auto item = []() -> Awaitable<void> {
    throw std::runtime_error("a bug");
    co_return;
  };
  Spawn(loop.get_executor(), item());
  clock.RunReady();
  EXPECT_EQ(failed_work.load(), before + 1);
  EXPECT_NE(metrics.Text().find("postern_failed_work_total"),
            std::string::npos);
}

}  // namespace
}  // namespace postern
