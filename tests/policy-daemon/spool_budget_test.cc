// How much of a day's spool is whose.
#include "policy-daemon/spool_budget.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kMidnight{
    std::chrono::sys_days{std::chrono::year{2026} / 11 / 22}};
constexpr uint64_t kDayBytes = uint64_t{1} << 30;
constexpr uint64_t kFirstShare = kDayBytes / 4 * 3 / 256;  // 3 MiB

Outcome Of(const std::string& domain) {
  Outcome outcome;
  outcome.at = kMidnight;
  outcome.domain = domain;
  outcome.failed = 1;
  return outcome;
}

class SpoolBudgetTest : public testing::Test {
 protected:
  SpoolBudgetTest() { budget.Begin(kMidnight); }

  // How much `domain` can spend.
  uint64_t SpentBy(const std::string& domain) {
    uint64_t spent = 0;
    for (const size_t step = 4096; budget.HasRoom(Of(domain)); spent += step)
      budget.Spend(Of(domain), step);
    return spent;
  }

  SpoolBudget budget{{.day_bytes = kDayBytes, .owners = 3}};
};

TEST_F(SpoolBudgetTest, AShareIsOneOf256) {
  EXPECT_NEAR(static_cast<double>(SpentBy("a.example")),
              static_cast<double>(kFirstShare), 16384);
  EXPECT_FALSE(budget.HasRoom(Of("a.example")));
  EXPECT_TRUE(budget.HasRoom(Of("b.example")));
}

TEST_F(SpoolBudgetTest, OfWhatIsLeftOfThreeQuarters) {
  struct Case {
    uint64_t used;
    uint64_t share;
  };
  const std::vector<Case> cases = {{0, kFirstShare},
                                   {kDayBytes / 8 * 3, kFirstShare / 2},
                                   {kDayBytes / 4 * 3, 0},
                                   {kDayBytes, 0}};
  for (const auto& [used, share] : cases) {
    budget.Begin(kMidnight - 24h);
    budget.Begin(kMidnight);
    budget.NoteDayBytes(used);
    EXPECT_NEAR(static_cast<double>(SpentBy("a.example")),
                static_cast<double>(share), 16384)
        << used;
  }
}

TEST_F(SpoolBudgetTest, WhoComesBeyondTheBoundOfOwnersHasSums) {
  for (const char* domain : {"a.example", "b.example", "c.example"})
    EXPECT_TRUE(budget.HasRoom(Of(domain)));
  EXPECT_FALSE(budget.HasRoom(Of("d.example")));
  EXPECT_TRUE(budget.HasRoom(Of("a.example")));
}

TEST_F(SpoolBudgetTest, ANewDayIsANewBudget) {
  SpentBy("a.example");
  budget.Begin(kMidnight + 23h);
  EXPECT_FALSE(budget.HasRoom(Of("a.example")));
  budget.Begin(kMidnight + 24h);
  EXPECT_TRUE(budget.HasRoom(Of("a.example")));
}

TEST_F(SpoolBudgetTest, ATextIsWrittenTwentyTimesAnHour) {
  const Fingerprint policy = Fingerprint::OfPolicy(Of("a.example"));
  for (int hour = 0; hour < 24; ++hour) {
    budget.Begin(kMidnight + hour * 1h);
    int written = 0;
    for (int i = 0; i < 1000; ++i) written += budget.WritesText(policy, false);
    EXPECT_EQ(written, 20) << hour;
    EXPECT_FALSE(budget.WritesText(policy, true)) << hour;
  }
}

TEST_F(SpoolBudgetTest, ARepeatHasTheTextIfNoneIsThere) {
  const Fingerprint policy = Fingerprint::OfPolicy(Of("a.example"));
  EXPECT_TRUE(budget.WritesText(policy, true));
  EXPECT_FALSE(budget.WritesText(policy, true));
  budget.ForgetTexts();
  EXPECT_TRUE(budget.WritesText(policy, true));
}

}  // namespace
}  // namespace postern
