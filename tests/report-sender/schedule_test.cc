#include "report-sender/schedule.h"

#include <set>

#include <gtest/gtest.h>

#include "tests/report-sender/lines.h"

namespace postern {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

WallTime At(const std::string& text) {
  const auto time = ParseUtc(text);
  EXPECT_TRUE(time) << text;
  return time.value_or(WallTime());
}

// --- days

TEST(HasEnded, FiveMinutesAfterMidnight) {
  EXPECT_FALSE(HasEnded(kDay, kNow));
  EXPECT_FALSE(HasEnded(kDay, At("2026-11-22T23:59:59Z")));
  EXPECT_FALSE(HasEnded(kDay, At("2026-11-23T00:00:00Z")));
  EXPECT_FALSE(HasEnded(kDay, At("2026-11-23T00:04:59Z")));
  EXPECT_TRUE(HasEnded(kDay, At("2026-11-23T00:05:00Z")));
  EXPECT_TRUE(HasEnded(kDay, At("2027-01-01T00:00:00Z")));
}

std::string DaysAt(const std::string& time) {
  std::string days;
  for (const Day day : DaysToClose(At(time))) days += FormatDay(day) + " ";
  return days;
}

TEST(DaysToClose, AreTheLastThreeTheOldestFirst) {
  EXPECT_EQ(DaysAt("2026-11-23T12:00:00Z"),
            "2026-11-20 2026-11-21 2026-11-22 ");
  EXPECT_EQ(DaysAt("2027-01-01T12:00:00Z"),
            "2026-12-29 2026-12-30 2026-12-31 ");
}

TEST(DaysToClose, HaveYesterdayFiveMinutesAfterMidnight) {
  EXPECT_EQ(DaysAt("2026-11-23T00:00:00Z"),
            "2026-11-19 2026-11-20 2026-11-21 ");
  EXPECT_EQ(DaysAt("2026-11-23T00:04:59Z"),
            "2026-11-19 2026-11-20 2026-11-21 ");
  EXPECT_EQ(DaysAt("2026-11-23T00:05:00Z"),
            "2026-11-20 2026-11-21 2026-11-22 ");
}

TEST(DaysToClose, HaveAllEnded) {
  for (WallTime now = At("2026-11-22T23:50:00Z");
       now < At("2026-11-23T00:10:00Z"); now += Seconds(1)) {
    const std::vector<Day> days = DaysToClose(now);
    for (const Day day : days) EXPECT_TRUE(HasEnded(day, now));
    EXPECT_FALSE(HasEnded(days.back() + std::chrono::days(1), now));
  }
}

// --- deliveries

TEST(DeliveryTime, IsAtOnceWithoutJitter) {
  EXPECT_EQ(DeliveryTime(kNow, Seconds(0), "example.com"), kNow);
  EXPECT_EQ(DeliveryTime(kNow, Seconds(-1), "example.com"), kNow);
  EXPECT_EQ(DeliveryTime(kNow, Seconds(1), "example.com"), kNow);
}

TEST(DeliveryTime, IsAlwaysAtTheSamePlace) {
  const Seconds place = DeliveryTime(kNow, hours(4), "example.com") - kNow;
  EXPECT_EQ(DeliveryTime(kNow, hours(4), "example.com") - kNow, place);
  EXPECT_EQ(DeliveryTime(kNow + hours(24), hours(4), "example.com"),
            kNow + hours(24) + place);
  // On every machine, with every compiler.
  EXPECT_EQ(place, Seconds(14181));
}

TEST(DeliveryTime, IsSpreadOverTheJitter) {
  constexpr int kDomains = 24000;
  int per_ten_minutes[24] = {};
  for (int i = 0; i < kDomains; ++i) {
    const Seconds after =
        DeliveryTime(kNow, hours(4), "d" + std::to_string(i) + ".example") -
        kNow;
    ASSERT_GE(after, Seconds(0));
    ASSERT_LT(after, hours(4));
    ++per_ten_minutes[after / minutes(10)];
  }
  for (const int count : per_ten_minutes) {
    EXPECT_GT(count, 800);
    EXPECT_LT(count, 1200);
  }
}

// --- attempts

constexpr Seconds kRetryFor = hours(24);

Handover Refused() { return {false, "no room", std::nullopt}; }

// The `attempts`th after the first, an hour behind it.
Settlement AfterFailure(int attempts, const Handover& handover = Refused()) {
  Parcel parcel;
  parcel.attempts = attempts;
  if (attempts > 0) parcel.first_attempt = kNow - hours(1);
  return SettlementOf(parcel, handover, kNow, kRetryFor, true);
}

Seconds PauseAfter(int attempts, const Handover& handover = Refused()) {
  const Settlement settlement = AfterFailure(attempts, handover);
  EXPECT_EQ(settlement.state, DeliveryState::kWaiting);
  EXPECT_TRUE(settlement.again);
  return settlement.again.value_or(kNow) - kNow;
}

TEST(SettlementOf, AnAcceptedOneIsDelivered) {
  const Settlement settlement =
      SettlementOf(Parcel(), {true, "", std::nullopt}, kNow, kRetryFor, true);
  EXPECT_EQ(settlement.state, DeliveryState::kDelivered);
  EXPECT_EQ(settlement.at, kNow);
  EXPECT_FALSE(settlement.again);
  EXPECT_EQ(settlement.reason, "");
}

TEST(SettlementOf, AnAcceptedOneIsDeliveredHoweverLate) {
  Parcel parcel;
  parcel.first_attempt = kNow - hours(1000);
  EXPECT_EQ(
      SettlementOf(parcel, {true, "", std::nullopt}, kNow, kRetryFor, true)
          .state,
      DeliveryState::kDelivered);
}

TEST(SettlementOf, AFailedOneWaitsAndSaysWhy) {
  const Settlement settlement = AfterFailure(0);
  EXPECT_EQ(settlement.state, DeliveryState::kWaiting);
  EXPECT_EQ(settlement.at, kNow);
  EXPECT_EQ(settlement.reason, "no room");
}

TEST(SettlementOf, PausesDoubleFrom5MinutesTo4Hours) {
  const Seconds pauses[] = {minutes(5),   minutes(10),  minutes(20),
                            minutes(40),  minutes(80),  minutes(160),
                            minutes(240), minutes(240), minutes(240)};
  int attempts = 0;
  for (const Seconds pause : pauses) EXPECT_EQ(PauseAfter(attempts++), pause);
  EXPECT_EQ(PauseAfter(1000000), hours(4));
}

TEST(SettlementOf, ThoseThatFailTogetherDoNotComeBackTogether) {
  std::set<WallTime> times;
  for (int64_t number = 1; number <= 30; ++number) {
    Parcel parcel;
    parcel.number = number;
    const Settlement settlement =
        SettlementOf(parcel, Refused(), kNow, kRetryFor, true);
    times.insert(*settlement.again);
    EXPECT_GE(*settlement.again, kNow + minutes(5));
    EXPECT_LT(*settlement.again, kNow + Seconds(330));
  }
  EXPECT_EQ(times.size(), 30u);
}

TEST(SettlementOf, ALongerPauseThatTheServerWantsIsMade) {
  EXPECT_EQ(PauseAfter(0, {false, "later", Seconds(3600)}), hours(1));
  EXPECT_EQ(PauseAfter(0, {false, "later", Seconds(10)}), minutes(5));
  EXPECT_EQ(PauseAfter(0, {false, "later", Seconds(0)}), minutes(5));
}

TEST(SettlementOf, TheLastTryIsAtTheEndOfTheTime) {
  Parcel parcel;
  parcel.attempts = 9;
  parcel.first_attempt = kNow - hours(23);
  EXPECT_EQ(SettlementOf(parcel, Refused(), kNow, kRetryFor, true).again,
            kNow + hours(1));
  // Also where the server wants to be left alone for longer.
  parcel.attempts = 1;
  EXPECT_EQ(
      SettlementOf(parcel, {false, "later", hours(100)}, kNow, kRetryFor, true)
          .again,
      kNow + hours(1));
}

TEST(SettlementOf, IsGivenUpAtTheEndOfTheTime) {
  Parcel parcel;
  parcel.attempts = 11;
  parcel.first_attempt = kNow - kRetryFor + Seconds(1);
  EXPECT_EQ(SettlementOf(parcel, Refused(), kNow, kRetryFor, true).state,
            DeliveryState::kWaiting);
  parcel.first_attempt = kNow - kRetryFor;
  const Settlement settlement =
      SettlementOf(parcel, {false, "no room", hours(1)}, kNow, kRetryFor, true);
  EXPECT_EQ(settlement.state, DeliveryState::kGivenUp);
  EXPECT_EQ(settlement.at, kNow);
  EXPECT_FALSE(settlement.again);
  EXPECT_EQ(settlement.reason, "no room");
}

TEST(SettlementOf, AClockThatIsNotEvenGivesNothingUp) {
  Parcel parcel;
  parcel.attempts = 100;
  parcel.first_attempt = kNow - hours(1000);
  const Settlement settlement =
      SettlementOf(parcel, Refused(), kNow, kRetryFor, false);
  EXPECT_EQ(settlement.state, DeliveryState::kWaiting);
  EXPECT_EQ(settlement.again, kNow + hours(4));
}

// The clock leaps after so many attempts, and goes evenly from then on: the
// other attempts of the day are made, and the pauses between them as well.
TEST(SettlementOf, AClockThatLeapsCostsOneTry) {
  struct {
    int attempts_before;
    Seconds at_least;  // real time that is left for it after the leap
  } const rows[] = {{1, hours(23)}, {5, hours(20)}, {9, hours(7)}};
  for (const auto& [attempts_before, at_least] : rows) {
    Parcel parcel;
    parcel.attempts = attempts_before;
    parcel.first_attempt = kNow - hours(24 * 400);
    WallTime now = kNow;
    for (;;) {
      const Settlement settlement =
          SettlementOf(parcel, Refused(), now, kRetryFor, true);
      ++parcel.attempts;
      if (settlement.state == DeliveryState::kGivenUp) break;
      now = *settlement.again;
    }
    EXPECT_EQ(parcel.attempts, 12) << attempts_before;
    EXPECT_GE(now - kNow, at_least) << attempts_before;
  }
}

TEST(SettlementOf, WhatTheOperatorDoesNotWantIsDropped) {
  EXPECT_EQ(SettlementOf(Parcel(), {false, "suppressed", std::nullopt, true},
                         kNow, kRetryFor, true)
                .state,
            DeliveryState::kDropped);
}

TEST(SettlementOf, ADeadDestinationIsTriedADayAndGivenUp) {
  Parcel parcel;
  parcel.number = 12345;
  WallTime now = kNow;
  for (;;) {
    const Settlement settlement =
        SettlementOf(parcel, Refused(), now, kRetryFor, true);
    ++parcel.attempts;
    if (!parcel.first_attempt) parcel.first_attempt = now;
    if (settlement.state == DeliveryState::kGivenUp) break;
    ASSERT_GT(*settlement.again, now);
    now = *settlement.again;
  }
  EXPECT_EQ(now, kNow + kRetryFor);
  EXPECT_EQ(parcel.attempts, 12);
}

TEST(SettlementOf, AClockSetBackGivesNothingUp) {
  Parcel parcel;
  parcel.attempts = 3;
  parcel.first_attempt = kNow + hours(1000);
  const Settlement settlement =
      SettlementOf(parcel, Refused(), kNow, kRetryFor, true);
  EXPECT_EQ(settlement.state, DeliveryState::kWaiting);
  EXPECT_EQ(settlement.again, kNow + minutes(40));
}

}  // namespace
}  // namespace postern
