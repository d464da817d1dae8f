// Which day files go, and that no clock decides it alone.
#include "policy-daemon/spool_expiry.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "common/spool_files.h"

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

using namespace std::chrono_literals;
using std::chrono::days;
namespace fs = std::filesystem;

constexpr Day kToday = std::chrono::year{2026} / 11 / 22;
constexpr int kKeepDays = 10;

// --- Which, by a clock that is believed.

std::vector<Day> DaysAgo(std::vector<int> ago) {
  std::vector<Day> all;
  for (const int n : ago) all.push_back(kToday - days(n));
  std::sort(all.begin(), all.end());
  return all;
}

// 0 to n days ago.
std::vector<int> LastDays(int n) {
  std::vector<int> all;
  for (int ago = 0; ago <= n; ++ago) all.push_back(ago);
  return all;
}

TEST(DaysToRemove, AreOldAndFewAndReportedOrVeryOld) {
  struct Case {
    const char* what;
    std::vector<int> days_ago;
    bool reported;
    int today_is;  // days after kToday, by the clock
    std::vector<int> removed_ago;
  };
  const std::vector<Case> cases = {
      {"keep_days before today are kept", LastDays(10), true, 0, {}},
      {"the one before goes", LastDays(11), true, 0, {11}},
      {"at most two a day", LastDays(30), true, 0, {30, 29}},
      {"what is not reported is kept twice as long",
       LastDays(20),
       false,
       0,
       {}},
      {"and no longer", LastDays(21), false, 0, {21}},
      {"the newest ten stay",
       {100, 101, 102, 103, 104, 105, 106, 107, 108, 109},
       true,
       0,
       {}},
      {"on a clock that is a year ahead, too", LastDays(9), true, 365, {}},
      {"of eleven one goes then", LastDays(10), true, 365, {10}},
      {"a clock that is behind removes none", LastDays(12), true, -30, {}},
      {"a day of the future is a day",
       {-400, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
       true,
       0,
       {}}};
  for (const Case& one : cases)
    EXPECT_EQ(DaysToRemove(DaysAgo(one.days_ago), kToday + days(one.today_is),
                           kKeepDays, [&](Day) { return one.reported; }),
              DaysAgo(one.removed_ago))
        << one.what;
}

// --- When.

class SpoolExpiryTest : public testing::Test {
 protected:
  SpoolExpiryTest() {
    fs::create_directory(directory);
    for (int ago = 0; ago < 30; ++ago) {
      const Day day = kToday - days(ago);
      std::ofstream(SpoolPath(directory, day)) << "\n";
      if (ago > 0) {
        EXPECT_TRUE(MarkReported(directory, day));
      }
    }
  }

  // Both clocks go on; looks every five minutes. How many files went.
  size_t Pass(std::chrono::minutes time) {
    const size_t before = Files();
    for (; time > 0min; time -= 5min) {
      boot += 5min;
      wall += 5min;
      expiry.Look(boot, wall);
    }
    return before - Files();
  }
  void StepWall(Seconds step) { wall += step; }
  void Restart() { expiry = SpoolExpiry(directory, kKeepDays); }
  size_t Files() const { return ListSpoolDays(directory)->size(); }

  TemporaryFolder folder;
  const std::string directory = folder.path() + "/outcomes";
  BootTime boot{0};
  WallTime wall{kToday + 12h};
  SpoolExpiry expiry{directory, kKeepDays};
};

TEST_F(SpoolExpiryTest, TheClockMustGoEvenlyFirst) {
  EXPECT_EQ(Pass(10min), 0u);
  EXPECT_EQ(Pass(10min), 2u);
}

TEST_F(SpoolExpiryTest, TwoGoADay) {
  Pass(20min);
  EXPECT_EQ(Pass(23h), 0u);
  EXPECT_EQ(Pass(2h), 2u);
}

TEST_F(SpoolExpiryTest, ALeapOfTheClockRemovesNothing) {
  Pass(5min);
  StepWall(400 * 86400s);
  EXPECT_EQ(Pass(5min), 0u);
  StepWall(-400 * 86400s);
  EXPECT_EQ(Pass(5min), 0u);
}

// From the boot on, and for ever.
TEST_F(SpoolExpiryTest, AClockThatIsWrongEvenlyLeavesTheNewest) {
  StepWall(400 * 86400s);
  Pass(14 * 24h);
  EXPECT_EQ(Files(), static_cast<size_t>(kKeepDays));
  EXPECT_TRUE(fs::exists(SpoolPath(directory, kToday)));
}

TEST_F(SpoolExpiryTest, SoItDoesWhereItIsStartedAgainAndAgain) {
  StepWall(400 * 86400s);
  for (int i = 0; i < 100; ++i) {
    Pass(30min);
    Restart();
  }
  EXPECT_EQ(Files(), static_cast<size_t>(kKeepDays));
}

TEST_F(SpoolExpiryTest, WhereThereIsNoFolderThereIsNothingToTell) {
  fs::remove_all(directory);
  boot += 20min;
  wall += 20min;
  expiry.Look(boot, wall);
  boot += 20min;
  wall += 20min;
  const auto removed = expiry.Look(boot, wall);
  EXPECT_TRUE(removed.files.empty());
  EXPECT_EQ(removed.error, "");
}

// --- Marks of days that are reported.

TEST_F(SpoolExpiryTest, AMarkGoesAfterItsDay) {
  const fs::path marks = folder.path() + "/reported";
  fs::remove(SpoolPath(directory, kToday - days(29)));
  EXPECT_TRUE(IsMarkedReported(directory, kToday - days(29)));
  EXPECT_TRUE(MarkReported(directory, kToday));
  EXPECT_FALSE(IsMarkedReported(directory, kToday - days(29)));
  EXPECT_TRUE(IsMarkedReported(directory, kToday - days(28)));
  EXPECT_TRUE(IsMarkedReported(directory, kToday));
}

TEST_F(SpoolExpiryTest, WhatCannotBeMarkedIsAnError) {
  fs::remove_all(folder.path() + "/reported");
  std::ofstream(folder.path() + "/reported") << "in the way";
  EXPECT_FALSE(MarkReported(directory, kToday));
  EXPECT_FALSE(IsMarkedReported(directory, kToday));
}

}  // namespace
}  // namespace postern
