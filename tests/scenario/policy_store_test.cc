// The store that lives as long as the process.
#include "policy-daemon/policy_store.h"

#include <gtest/gtest.h>

#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class MemoryPolicyStoreTest : public testing::Test {
 protected:
  void TearDown() override { world.End(); }

  StsMemory Find(const std::string& domain) {
    return world.Run(store.Find(domain));
  }
  void PutPolicy(const std::string& domain, Seconds max_age,
                 const std::string& id = "1") {
    const WallTime now = world.clock.WallNow();
    const auto policy = std::make_shared<const StsPolicy>();
    store.PutPolicy(domain, {policy, id, now, now + max_age, now});
  }
  void PutFailure(const std::string& domain) {
    const WallTime now = world.clock.WallNow();
    store.PutFailure(domain, {"1", now, now, "broken"});
  }

  FakeWorld world;
  MemoryPolicyStore store{world.clock, 3};
};

TEST_F(MemoryPolicyStoreTest, WhatWasNeverPutIsNotFound) {
  EXPECT_FALSE(Find("a.example").policy);
  EXPECT_FALSE(Find("a.example").failure);
}

TEST_F(MemoryPolicyStoreTest, APolicyIsFoundAgain) {
  PutPolicy("a.example", 1h, "abc");
  EXPECT_EQ(Find("a.example").policy->id, "abc");
  EXPECT_FALSE(Find("b.example").policy);
}

TEST_F(MemoryPolicyStoreTest, WhatIsForgottenIsNotFound) {
  PutPolicy("a.example", 1h);
  store.Forget("a.example");
  EXPECT_FALSE(Find("a.example").policy);
}

TEST_F(MemoryPolicyStoreTest, AFailureLeavesThePolicy) {
  PutPolicy("a.example", 1h);
  PutFailure("a.example");
  EXPECT_TRUE(Find("a.example").policy);
  EXPECT_EQ(Find("a.example").failure->reason, "broken");
}

TEST_F(MemoryPolicyStoreTest, APolicyForgetsTheFailure) {
  PutFailure("a.example");
  PutPolicy("a.example", 1h);
  EXPECT_FALSE(Find("a.example").failure);
}

TEST_F(MemoryPolicyStoreTest, FailuresMakeRoomForPolicies) {
  PutFailure("a.example");
  PutFailure("b.example");
  PutFailure("c.example");
  PutPolicy("d.example", 1h);
  EXPECT_TRUE(Find("d.example").policy);
}

TEST_F(MemoryPolicyStoreTest, ExpiredPoliciesMakeRoom) {
  PutPolicy("a.example", 1h);
  PutPolicy("b.example", 2h);
  PutPolicy("c.example", 2h);
  world.Pass(1h);
  PutPolicy("d.example", 1h);
  EXPECT_TRUE(Find("b.example").policy);
  EXPECT_TRUE(Find("c.example").policy);
  EXPECT_TRUE(Find("d.example").policy);
}

TEST_F(MemoryPolicyStoreTest, NobodyPushesAPolicyInForceOut) {
  PutPolicy("a.example", 1h);
  PutPolicy("b.example", 1h);
  PutPolicy("c.example", 1h);
  for (int i = 0; i < 100; ++i) {
    PutPolicy("x" + std::to_string(i) + ".example", 2h);
    PutFailure("y" + std::to_string(i) + ".example");
  }
  EXPECT_TRUE(Find("a.example").policy);
  EXPECT_TRUE(Find("b.example").policy);
  EXPECT_TRUE(Find("c.example").policy);
  EXPECT_FALSE(Find("x1.example").policy);
}

TEST_F(MemoryPolicyStoreTest, AFullStoreStillTakesNewsOfWhatItHolds) {
  PutPolicy("a.example", 1h, "1");
  PutPolicy("b.example", 1h);
  PutPolicy("c.example", 1h);
  PutPolicy("a.example", 1h, "2");
  EXPECT_EQ(Find("a.example").policy->id, "2");
}

}  // namespace
}  // namespace postern
