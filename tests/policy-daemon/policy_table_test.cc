// What is remembered, and who goes when there is no room, or when the clock
// says so.
#include "policy-daemon/policy_table.h"

#include <gtest/gtest.h>

#include "tests/support/policy_folder.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::days kDay{1};

class PolicyTableTest : public testing::Test {
 protected:
  PolicyTableTest() { Tick(); }

  void Tick() { table.Tick(boot, now); }
  // Both clocks go on evenly; looked at once a minute.
  void Pass(Seconds time) {
    for (Seconds t{0}; t < time; t += Seconds(60)) {
      boot += Seconds(60);
      now += Seconds(60);
      Tick();
    }
  }
  static StoredPolicy Policy(const std::string& mode, size_t padding = 0) {
    StoredPolicy stored = SomePolicy();
    std::string text = "version: STSv1\nmode: " + mode +
                       "\nmx: mx.example.com\nmax_age: 604800\n";
    if (padding > 0) text += "x: " + std::string(padding, 'x') + "\n";
    stored.policy =
        std::make_shared<const StsPolicy>(Essential(*ParseStsPolicy(text)));
    return stored;
  }
  bool Put(const std::string& domain, const std::string& mode = "enforce",
           size_t padding = 0) {
    StoredPolicy stored = Policy(mode, padding);
    stored.fetched_at = stored.used_at = now;
    stored.expires_at = now + stored.policy->max_age;
    return table.PutPolicy(domain, std::move(stored), now);
  }
  // It is used on a second day.
  void UseAgain(const std::string& domain) {
    table.NoteUse(domain, now + kDay, now + kDay);
  }
  bool Holds(const std::string& domain) {
    return table.Find(domain).policy.has_value();
  }
  int Held(const std::string& behind, int count) {
    int held = 0;
    for (int i = 0; i < count; ++i)
      held += Holds("d" + std::to_string(i) + behind);
    return held;
  }
  void SetRoom(size_t policies) { table.SetBounds({policies, 128 << 20}); }

  BootTime boot = Seconds(1000);
  WallTime now = kNow;
  PolicyTable table{{}};
};

using PolicyQuotaTest = PolicyTableTest;
using PolicyExpiryTest = PolicyTableTest;
using PolicyClockTest = PolicyTableTest;

// --- Quotas.

// An owner with a wildcard and a year of max_age, who makes us write to each
// of his names.
TEST_F(PolicyQuotaTest, OneOwnerFillsNothing) {
  table.SetBounds({1000000, 1 << 20});
  Put("sts-enforce.test");
  UseAgain("sts-enforce.test");
  for (int i = 0; i < 20000; ++i)
    Put("d" + std::to_string(i) + ".owner.test", "enforce", 60000);
  EXPECT_LE(table.bytes(), size_t{1 << 20});
  EXPECT_TRUE(Holds("sts-enforce.test"));
  EXPECT_TRUE(Put("newcomer.test"));
  EXPECT_TRUE(Holds("newcomer.test"));
  EXPECT_TRUE(Holds("sts-enforce.test"));
}

TEST_F(PolicyQuotaTest, OneOwnerHasAThousandAtMost) {
  for (int i = 0; i < 3000; ++i) Put("d" + std::to_string(i) + ".owner.co.uk");
  EXPECT_EQ(table.policies(), kMaxPoliciesOfOwner);
  EXPECT_TRUE(Holds("d2999.owner.co.uk")) << "the oldest go";
  EXPECT_TRUE(Put("other.co.uk"));
  for (int i = 0; i < 3000; ++i)
    UseAgain("d" + std::to_string(i) + ".owner.co.uk");
  EXPECT_FALSE(Put("one-more.owner.co.uk"));
  EXPECT_TRUE(Put("one-more.co.uk"));
}

// Few that are large are as many that are small.
TEST_F(PolicyQuotaTest, OneOwnerHasAQuarterOfTheMemoryAtMost) {
  table.SetBounds({1000000, 1 << 20});
  for (int i = 0; i < 500; ++i) {
    const std::string name = "d" + std::to_string(i) + ".owner.test";
    Put(name, "enforce", 4000);
    UseAgain(name);
  }
  EXPECT_GT(Held(".owner.test", 500), 10);
  EXPECT_LE(table.bytes(), (size_t{1} << 20) / kOwnersShare);
  EXPECT_TRUE(Put("other.test", "enforce", 4000));
}

TEST_F(PolicyQuotaTest, WhoGoesFirst) {
  SetRoom(4);
  Put("expired.test");
  Pass(8 * kDay);
  Put("testing.test", "testing");
  Put("once.test");
  Put("twice.test");
  UseAgain("expired.test");
  UseAgain("twice.test");
  table.NoteExpired("expired.test", now);
  int number = 0;
  for (const char* goes : {"expired.test", "testing.test", "once.test"}) {
    EXPECT_TRUE(Holds(goes)) << goes;
    const std::string newcomer = "new" + std::to_string(number++) + ".test";
    EXPECT_TRUE(Put(newcomer));
    UseAgain(newcomer);
    EXPECT_FALSE(Holds(goes)) << goes;
  }
  EXPECT_TRUE(Holds("twice.test"));
  EXPECT_FALSE(Put("refused.test"));
}

TEST_F(PolicyQuotaTest, WhatWasUsedOnTwoDaysNeverGoes) {
  SetRoom(3);
  for (const char* domain : {"a.test", "b.test", "c.test"}) {
    Put(domain);
    UseAgain(domain);
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(Put("x" + std::to_string(i) + ".test"));
    table.PutFailure("y" + std::to_string(i) + ".test", SomeFailure());
  }
  for (const char* domain : {"a.test", "b.test", "c.test"})
    EXPECT_TRUE(Holds(domain)) << domain;
  EXPECT_TRUE(Put("a.test")) << "news of what it holds is taken";
}

TEST_F(PolicyQuotaTest, TwoUsesOfOneDayAreOneDay) {
  SetRoom(1);
  Put("a.test");
  table.NoteUse("a.test", now + 1h, now + 2h);
  EXPECT_TRUE(Put("b.test"));
  EXPECT_FALSE(Holds("a.test"));
}

TEST_F(PolicyQuotaTest, TheFullestOwnerPays) {
  SetRoom(12);
  for (int i = 0; i < 8; ++i) Put("d" + std::to_string(i) + ".many.test");
  Put("a.few.test");
  Put("b.few.test");
  Put("single.test");
  Put("lone.test");
  for (int i = 0; i < 5; ++i)
    EXPECT_TRUE(Put("n" + std::to_string(i) + ".test"));
  EXPECT_EQ(Held(".many.test", 8), 3);
  for (const char* domain :
       {"a.few.test", "b.few.test", "single.test", "lone.test"})
    EXPECT_TRUE(Holds(domain)) << domain;
}

TEST_F(PolicyQuotaTest, ATestingNewcomerPushesOutNoEnforcedPolicy) {
  SetRoom(2);
  Put("a.test");
  Put("b.test");
  EXPECT_FALSE(Put("c.test", "testing"));
  EXPECT_FALSE(Put("d.test", "none"));
  EXPECT_TRUE(Holds("a.test"));
  EXPECT_TRUE(Holds("b.test"));
}

// It would push out as many as it likes by growing.
TEST_F(PolicyQuotaTest, WhatGrowsNeedsRoomToo) {
  table.SetBounds({1000000, 4000});
  Put("a.test");
  UseAgain("a.test");
  Put("b.test");
  UseAgain("b.test");
  EXPECT_FALSE(Put("b.test", "enforce", 4000));
  EXPECT_TRUE(Holds("a.test"));
  EXPECT_TRUE(Holds("b.test")) << "as it was";
  EXPECT_LE(table.bytes(), 4000u);
}

TEST_F(PolicyQuotaTest, NewBoundsHoldAtOnceAsFarAsTheyMay) {
  for (int i = 0; i < 100; ++i) Put("d" + std::to_string(i) + ".test");
  for (int i = 0; i < 10; ++i) UseAgain("d" + std::to_string(i) + ".test");
  SetRoom(20);
  EXPECT_EQ(table.policies(), 20u);
  SetRoom(5);
  EXPECT_EQ(table.policies(), 10u) << "those used on two days stay";
  EXPECT_EQ(Held(".test", 10), 10);
  EXPECT_FALSE(Put("new.test"));
}

TEST_F(PolicyQuotaTest, FailuresAloneAreBoundedTheOldestGo) {
  Put("a.test");
  for (size_t i = 0; i < kMaxFailedDomains + 10; ++i)
    table.PutFailure("d" + std::to_string(i) + ".test", SomeFailure());
  EXPECT_FALSE(table.Find("d9.test").failure);
  EXPECT_TRUE(table.Find("d10.test").failure);
  EXPECT_TRUE(Holds("a.test"));
}

TEST_F(PolicyQuotaTest, OfTheOtherFieldsFourKilobytesAreKept) {
  std::string text = "version: STSv1\nmode: enforce\nmax_age: 86400\n";
  for (int i = 0; i < 500; ++i)
    text += "x" + std::to_string(i) + ": " + std::string(50, 'x') + "\nmx: h" +
            std::to_string(i) + ".example.com\n";
  const StsPolicy policy = Essential(*ParseStsPolicy(text));
  EXPECT_EQ(policy.mx.size(), 500u);
  EXPECT_LT(StsPolicyText(policy).size(), 500u * 24 + kMaxOtherFields + 1000);
  EXPECT_EQ(*ParseStsPolicy(StsPolicyText(policy)), policy);
}

// --- What has expired.

TEST_F(PolicyExpiryTest, GoesOnTheSeventhDayOfAnEvenClock) {
  Put("a.test");
  Pass(8 * kDay);
  for (int day = 1; day < kExpiredDays; ++day) {
    table.NoteExpired("a.test", now);
    table.NoteExpired("a.test", now + 1s);
    EXPECT_EQ(table.Find("a.test").policy->expired_days, day);
    Pass(kDay);
  }
  table.NoteExpired("a.test", now);
  EXPECT_FALSE(Holds("a.test"));
}

TEST_F(PolicyExpiryTest, DaysOfAClockThatLeapsDoNotCount) {
  Put("a.test");
  for (int day = 0; day < 20; ++day) {
    now += 10 * kDay;
    Tick();
    table.NoteExpired("a.test", now);
  }
  EXPECT_TRUE(Holds("a.test"));
  EXPECT_EQ(table.Find("a.test").policy->expired_days, 0);
}

TEST_F(PolicyExpiryTest, AClockThatIsSetRightTakesNothingFromAFullTable) {
  SetRoom(1);
  Put("a.test");
  UseAgain("a.test");
  now += 400 * kDay;
  Pass(1h);
  table.NoteExpired("a.test", now);
  now -= 400 * kDay;
  Tick();
  EXPECT_FALSE(Put("b.test")) << "by this clock it has not expired";
  EXPECT_TRUE(Holds("a.test"));
}

TEST_F(PolicyExpiryTest, AFailureThatCountsStays) {
  Put("a.test");
  Pass(8 * kDay);
  FailedFetch failure = SomeFailure();
  failure.first_at = failure.last_at = now + 7 * kDay;
  table.PutFailure("a.test", failure);
  for (int day = 0; day < kExpiredDays; ++day) {
    table.NoteExpired("a.test", now);
    Pass(kDay);
  }
  EXPECT_FALSE(Holds("a.test"));
  EXPECT_TRUE(table.Find("a.test").failure);
}

// --- A clock that was set back.

TEST_F(PolicyClockTest, WhatComesFromTheFutureIsDue) {
  Put("a.test");
  table.NoteUse("a.test", now, now + 1h);
  now -= 400 * kDay;
  Tick();
  EXPECT_EQ(table.Due(now, 10), std::vector<std::string>{"a.test"});
}

TEST_F(PolicyClockTest, WhatWasScheduledInTheFutureIsDue) {
  Put("a.test");
  table.Schedule("a.test", now, now + 400 * kDay);
  Tick();
  EXPECT_TRUE(table.Due(now, 10).empty());
  now -= 1h;
  Tick();
  EXPECT_EQ(table.Due(now, 10), std::vector<std::string>{"a.test"});
}

TEST_F(PolicyClockTest, AFailureFromTheFutureIsNone) {
  table.PutFailure("a.test", SomeFailure());
  now -= kDay;
  Tick();
  EXPECT_FALSE(table.Find("a.test").failure);
}

}  // namespace
}  // namespace postern
