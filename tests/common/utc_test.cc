#include "common/utc.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

struct Case {
  const char* text;
  int64_t seconds;
};
constexpr Case kTimes[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1969-12-31T23:59:59Z", -1},
    {"2026-11-22T13:05:07Z", 1795352707},
    {"2024-02-29T23:59:59Z", 1709251199},
    {"2000-02-29T00:00:00Z", 951782400},
    {"2038-01-19T03:14:08Z", 2147483648},
    {"0000-01-01T00:00:00Z", -62167219200},
    {"9999-12-31T23:59:59Z", 253402300799},
};

TEST(Utc, TimesAreWrittenAndRead) {
  for (const auto& [text, seconds] : kTimes) {
    const WallTime time{Seconds(seconds)};
    EXPECT_EQ(FormatUtc(time), text);
    EXPECT_EQ(ParseUtc(text), time) << text;
    EXPECT_EQ(FormatDay(DayOf(time)), std::string(text).substr(0, 10));
    EXPECT_EQ(ParseDay(FormatDay(DayOf(time))), DayOf(time)) << text;
  }
}

TEST(Utc, BeyondFourDigitsOfAYearIsTheLastThatThereIs) {
  EXPECT_EQ(FormatUtc(WallTime(Seconds(int64_t{1} << 60))),
            "9999-12-31T23:59:59Z");
  EXPECT_EQ(FormatUtc(WallTime(Seconds(-(int64_t{1} << 60)))),
            "0000-01-01T00:00:00Z");
  EXPECT_EQ(FormatDay(Day(std::chrono::days(1 << 30))), "9999-12-31");
}

TEST(Utc, EverythingElseIsRefused) {
  for (const char* bad :
       {"", "2026-11-22", "2026-11-22T13:05:07", "2026-11-22 13:05:07Z",
        "2026-11-22t13:05:07z", "2026-11-22T13:05:07+00:00",
        "2026-11-22T13:05:07.5Z", "2026-11-22T13:05:07Zx",
        " 2026-11-22T13:05:07Z", "2026-11-22T24:00:00Z", "2026-11-22T23:60:00Z",
        "2026-12-31T23:59:60Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-11-00T00:00:00Z", "-026-11-22T13:05:07Z",
        "2026-11-22T+3:05:07Z", "2026-11-22T13:05:0 Z"})
    EXPECT_FALSE(ParseUtc(bad)) << bad;
  for (const char* bad :
       {"", "2026-11-2", "2026-11-222", "2026-11-31", "2026/11/22", "20261122",
        "2026-1-022", "2026-11-22 "})
    EXPECT_FALSE(ParseDay(bad)) << bad;
}

}  // namespace
}  // namespace postern
