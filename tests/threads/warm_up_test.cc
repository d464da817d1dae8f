// Threads that offer, and a loop that takes.
#include "policy-daemon/warm_up.h"

#include <set>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "common/loop_clock.h"

namespace postern {
namespace {

constexpr int kThreads = 4;
constexpr int kEach = 2000;

class WarmUpThreadsTest : public testing::Test {
 protected:
  double Count(const char* result) {
    return metrics.Counter("postern_warm_ups_total", "", {{"result", result}})
        .Value();
  }
  // Each thread offers its own names and one that all share.
  std::vector<std::thread> Offerers() {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([this, t] {
        for (int i = 0; i < kEach; ++i)
          warm_up.Offer(i % 2 == 0 ? "shared.example"
                                   : "t" + std::to_string(t) + "." +
                                         std::to_string(i) + ".example");
      });
    return threads;
  }
  double Total() {
    return Count("started") + Count("known") + Count("limited") +
           Count("dropped");
  }

  boost::asio::io_context loop{1};
  LoopClock clock{loop};
  Metrics metrics;
  std::thread::id loop_thread;
  std::multiset<std::string> started;
  bool elsewhere = false;
  WarmUp warm_up{loop.get_executor(), clock,
                 [this](const std::string& next_hop) {
                   started.insert(next_hop);
                   if (std::this_thread::get_id() != loop_thread)
                     elsewhere = true;
                   return true;
                 },
                 metrics};
};

TEST_F(WarmUpThreadsTest, EverythingOfferedIsAccountedForOnTheLoopsThread) {
  auto work = boost::asio::make_work_guard(loop);
  std::thread runner([this] {
    loop_thread = std::this_thread::get_id();
    loop.run();
  });
  for (std::thread& thread : Offerers()) thread.join();
  work.reset();
  runner.join();
  EXPECT_EQ(Total(), kThreads * kEach);
  EXPECT_GT(Count("started"), 0);
  EXPECT_EQ(static_cast<double>(started.size()), Count("started"));
  EXPECT_EQ(started.count("shared.example"), 1u);
  EXPECT_FALSE(elsewhere);
}

TEST_F(WarmUpThreadsTest, ALoopThatHangsBoundsWhatWaits) {
  for (std::thread& thread : Offerers()) thread.join();
  EXPECT_EQ(Count("dropped"), kThreads * kEach - WarmUp::kMaxPending);
  loop_thread = std::this_thread::get_id();
  loop.run();
  EXPECT_EQ(Total(), kThreads * kEach);
}

}  // namespace
}  // namespace postern
