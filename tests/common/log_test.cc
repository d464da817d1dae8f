#include "common/log.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using std::chrono::seconds;
using TimePoint = std::chrono::steady_clock::time_point;

TEST(LogFields, AreKeyAndValue) {
  EXPECT_EQ(FormatLogFields({}), "");
  EXPECT_EQ(FormatLogFields({{"domain", "example.com"}, {"port", 25}}),
            "domain=example.com port=25");
  EXPECT_EQ(
      FormatLogFields({{"n", uint64_t{18446744073709551615u}}, {"m", -1}}),
      "n=18446744073709551615 m=-1");
}

TEST(LogFields, AreQuotedWhereTheyWouldNotReadAsOneValue) {
  EXPECT_EQ(FormatLogFields({{"reason", "two words"}}), "reason=\"two words\"");
  EXPECT_EQ(FormatLogFields({{"empty", ""}}), "empty=\"\"");
  EXPECT_EQ(FormatLogFields({{"a", "x=y"}}), "a=\"x=y\"");
  EXPECT_EQ(FormatLogFields({{"a", "say \"hi\""}}), "a=\"say \\\"hi\\\"\"");
  EXPECT_EQ(FormatLogFields({{"a", "back\\slash"}}), "a=\"back\\\\slash\"");
}

TEST(LogFields, CannotForgeALineOrReachATerminal) {
  const std::string line = FormatLogFields(
      {{"name", "x\nlevel=error event=forged"}, {"tail", "\x1b[2J\r\xc2\x9b"}});
  EXPECT_EQ(line,
            "name=\"x\\\\x0alevel=error event=forged\" "
            "tail=\"\\\\x1b[2J\\\\x0d\\\\xc2\\\\x9b\"");
  for (char c : line) EXPECT_TRUE(c >= 0x20 && c <= 0x7e);
}

TEST(LogFields, AreCut) {
  EXPECT_LT(FormatLogFields({{"long", std::string(100000, 'x')}}).size(),
            1100u);
}

TEST(LogLevel, DecidesWhatIsLogged) {
  SetLogLevel(LogLevel::kWarn);
  EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarn));
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
  SetLogLevel(LogLevel::kInfo);
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo));
}

TEST(Log, WritesLevelEventAndFieldsOnOneLine) {
  testing::internal::CaptureStderr();
  Log(LogLevel::kWarn, "dns_failed", {{"name", "a\nb {} {0}"}});
  Log(LogLevel::kInfo, "started");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("Z level=warn event=dns_failed "
                      "name=\"a\\\\x0ab {} {0}\"\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Z level=info event=started\n"), std::string::npos)
      << text;
}

TEST(LogLimiter, LetsABurstThroughEachWindow) {
  LogLimiter limiter(2, seconds(60));
  const TimePoint start{};
  uint64_t suppressed = 99;
  EXPECT_TRUE(limiter.Allow(start, &suppressed));
  EXPECT_EQ(suppressed, 0u);
  EXPECT_TRUE(limiter.Allow(start + seconds(1), &suppressed));
  EXPECT_FALSE(limiter.Allow(start + seconds(2), &suppressed));
  EXPECT_FALSE(limiter.Allow(start + seconds(59), &suppressed));
  EXPECT_TRUE(limiter.Allow(start + seconds(60), &suppressed));
  EXPECT_EQ(suppressed, 2u) << "the next line tells what was left out";
  EXPECT_TRUE(limiter.Allow(start + seconds(61), &suppressed));
  EXPECT_EQ(suppressed, 0u) << "and only that one";
  EXPECT_FALSE(limiter.Allow(start + seconds(62), &suppressed));
}

TEST(LogLimiter, BeginsItsWindowWithTheFirstLine) {
  LogLimiter limiter(1, seconds(60));
  const TimePoint late = TimePoint{} + seconds(1000000);
  uint64_t suppressed = 0;
  EXPECT_TRUE(limiter.Allow(late, &suppressed));
  EXPECT_FALSE(limiter.Allow(late + seconds(59), &suppressed));
  EXPECT_TRUE(limiter.Allow(late + seconds(60), &suppressed));
}

}  // namespace
}  // namespace postern
