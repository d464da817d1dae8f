// Which next hops a warm-up is started for, in virtual time.
#include "policy-daemon/warm_up.h"

#include <gtest/gtest.h>

#include "policy-daemon/policy_key.h"
#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class WarmUpTest : public testing::Test {
 protected:
  void TearDown() override { world.End(); }

  void Offer(const std::string& next_hop) {
    warm_up.Offer(next_hop);
    world.clock.RunReady();
  }
  // Names that nobody has offered before.
  void OfferNew(int count) {
    for (int i = 0; i < count; ++i)
      Offer("n" + std::to_string(next_++) + ".example");
  }
  double Count(const char* result) {
    return world.metrics
        .Counter("postern_warm_ups_total", "", {{"result", result}})
        .Value();
  }

  FakeWorld world;
  std::vector<std::string> started;
  bool known = false;  // what the service says of everything
  WarmUp warm_up{world.loop.get_executor(), world.clock,
                 [this](const std::string& next_hop) {
                   started.push_back(next_hop);
                   return !known;
                 },
                 world.metrics};
  int next_ = 0;
};

using Names = std::vector<std::string>;

TEST_F(WarmUpTest, StartsOnTheLoopAndNotBefore) {
  warm_up.Offer("example.com");
  EXPECT_TRUE(started.empty());
  world.clock.RunReady();
  EXPECT_EQ(started, Names({"example.com"}));
  EXPECT_EQ(Count("started"), 1);
}

TEST_F(WarmUpTest, OneOfManyRecipientsIsEnough) {
  for (int i = 0; i < 1000; ++i) Offer("example.com");
  Offer("example.org");
  EXPECT_EQ(started, Names({"example.com", "example.org"}));
  EXPECT_EQ(Count("started"), 2);
  EXPECT_EQ(Count("known"), 999);
}

TEST_F(WarmUpTest, AfterAWhileItIsLookedAtAgain) {
  Offer("example.com");
  world.Pass(29s);
  Offer("example.com");
  EXPECT_EQ(started.size(), 1u);
  world.Pass(31s);
  Offer("example.com");
  EXPECT_EQ(started.size(), 2u);
}

TEST_F(WarmUpTest, WhatIsOfferedAllTheTimeIsStillLookedAt) {
  for (int i = 0; i < 300; ++i) {
    Offer("example.com");
    world.Pass(1s);
  }
  EXPECT_GE(started.size(), 5u);
  EXPECT_LE(started.size(), 10u);
}

TEST_F(WarmUpTest, WhatIsKnownCostsNoLookup) {
  known = true;
  OfferNew(3 * WarmUp::kBurst);
  EXPECT_EQ(Count("known"), 3 * WarmUp::kBurst);
  EXPECT_EQ(Count("limited"), 0);
  EXPECT_EQ(Count("started"), 0);
}

TEST_F(WarmUpTest, ABurstIsLimited) {
  OfferNew(WarmUp::kBurst + 100);
  EXPECT_EQ(Count("started"), WarmUp::kBurst);
  EXPECT_EQ(Count("limited"), 100);
}

TEST_F(WarmUpTest, TheRateIsLimited) {
  OfferNew(WarmUp::kBurst);
  for (int i = 0; i < 10; ++i) {
    world.Pass(1s);
    OfferNew(1000);
  }
  EXPECT_EQ(Count("started"), WarmUp::kBurst + 10 * WarmUp::kPerSecond);
}

TEST_F(WarmUpTest, APauseGivesTheBurstBackAndNoMore) {
  OfferNew(WarmUp::kBurst);
  world.Pass(1h);
  OfferNew(1000);
  EXPECT_EQ(Count("started"), 2 * WarmUp::kBurst);
}

TEST_F(WarmUpTest, WhoWasLimitedMayComeAgain) {
  OfferNew(WarmUp::kBurst);
  Offer("example.com");
  EXPECT_EQ(Count("limited"), 1);
  world.Pass(1s);
  Offer("example.com");
  EXPECT_EQ(started.back(), "example.com");
}

TEST_F(WarmUpTest, WhatIsRememberedIsBounded) {
  known = true;
  Offer("example.com");
  OfferNew(static_cast<int>(WarmUp::kMaxRecent));
  Offer("example.com");
  EXPECT_NE(started.back(), "example.com");
  OfferNew(static_cast<int>(2 * WarmUp::kMaxRecent));
  Offer("example.com");
  EXPECT_EQ(started.back(), "example.com");
}

TEST_F(WarmUpTest, WhatIsOnItsWayIsBounded) {
  for (int i = 0; i < WarmUp::kMaxPending + 10; ++i)
    warm_up.Offer("example.com");
  EXPECT_EQ(Count("dropped"), 10);
  world.clock.RunReady();
  EXPECT_EQ(started.size(), 1u);
  Offer("example.org");  // there is room again
  EXPECT_EQ(Count("dropped"), 10);
  EXPECT_EQ(started.back(), "example.org");
}

TEST_F(WarmUpTest, WhatCanBeNoKeyDoesNotReachTheLoop) {
  Offer("");
  Offer(std::string(kMaxKeyLength + 1, 'a'));
  EXPECT_TRUE(started.empty());
  EXPECT_EQ(Count("known"), 2);
}

}  // namespace
}  // namespace postern
