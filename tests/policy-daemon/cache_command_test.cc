// What `postern-policy cache` prints.
#include "policy-daemon/cache_command.h"

#include <gtest/gtest.h>

#include "tests/support/policy_folder.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

StsMemory Remembered() { return {SomePolicy(), {}}; }
StsMemory Failed() { return {{}, SomeFailure()}; }

TEST(Span, IsTheTwoLargestUnits) {
  const std::pair<Seconds, const char*> table[] = {
      {0s, "0 s"},
      {1s, "1 s"},
      {59s, "59 s"},
      {60s, "1 min"},
      {61s, "1 min"},
      {3599s, "59 min"},
      {3600s, "1 h"},
      {3659s, "1 h"},
      {3660s, "1 h 1 min"},
      {86399s, "23 h 59 min"},
      {86400s, "1 d"},
      {90000s, "1 d 1 h"},
      {89999s, "1 d"},
      {604800s, "7 d"},
      {31557600s, "365 d 6 h"},
  };
  for (const auto& [seconds, text] : table)
    EXPECT_EQ(Span(seconds), text) << seconds.count();
}

TEST(Span, OfThePastIsNothing) {
  EXPECT_EQ(Span(-1s), "0 s");
  EXPECT_EQ(Span(Seconds::min()), "0 s");
}

TEST(CacheList, IsATable) {
  const WallTime now = kNow + 10min;
  const std::string table = CacheListHead() + "\n" +
                            CacheListLine("a.example", Remembered(), now) +
                            "\n" + CacheListLine("b.example", Failed(), now);
  EXPECT_EQ(table,
            "DOMAIN                          MODE        FETCHED     "
            "HOLDS FOR   NEXT LOOK   USED        LAST FAILURE\n"
            "a.example                       enforce     10 min      "
            "6 d 23 h    6 h 50 min  9 min       -\n"
            "b.example                       -           -           "
            "-           -           -           connection refused");
}

TEST(CacheList, SaysWhatHasExpired) {
  const std::string line =
      CacheListLine("a.example", Remembered(), kNow + Seconds(604800));
  EXPECT_NE(line.find("expired"), std::string::npos) << line;
}

TEST(CacheList, ALongNameMovesItsLine) {
  const std::string name(60, 'a');
  EXPECT_TRUE(
      CacheListLine(name, Remembered(), kNow).starts_with(name + " enforce"));
}

TEST(CacheText, TellsEverythingOfAPolicy) {
  EXPECT_EQ(
      CacheText("a.example", Remembered(), kNow + 10min),
      "a.example\n"
      "  mode             enforce\n"
      "  mx               mx.example.com\n"
      "  max_age          7 d\n"
      "  id               1\n"
      "  fetched          2026-11-22T13:05:07Z (10 min ago)\n"
      "  holds until      2026-11-29T13:05:07Z (in 6 d 23 h)\n"
      "  next look        2026-11-22T20:05:07Z (in 6 h 50 min)\n"
      "  refetched        after 2026-11-26T01:05:07Z (in 3 d 11 h)\n"
      "  last used        2026-11-22T13:05:14Z (9 min ago)\n"
      "  stays            until others need its room: used on one day only\n");
}

TEST(CacheText, TellsEverythingOfAFailure) {
  EXPECT_EQ(CacheText("b.example", Failed(), kNow + 10min),
            "b.example\n"
            "  policy           none is remembered\n"
            "  last failure     2026-11-22T13:10:07Z (5 min ago)\n"
            "                   of id 1, tried 2 times: connection refused\n");
}

TEST(CacheText, TellsOfBoth) {
  const std::string text =
      CacheText("a.example", {SomePolicy(), SomeFailure("2")}, kNow);
  EXPECT_NE(text.find("mode"), std::string::npos);
  EXPECT_NE(text.find("of id 2"), std::string::npos);
}

TEST(CacheText, SaysThatItHasExpired) {
  const std::string text =
      CacheText("a.example", Remembered(), kNow + Seconds(604800));
  EXPECT_NE(text.find("(expired)"), std::string::npos) << text;
}

TEST(CacheText, NothingOfStrangersReachesTheTerminalRaw) {
  StsMemory memory{SomePolicy("mx.example.com", "\x1b[2J"),
                   SomeFailure("\x9b")};
  memory.failure->reason = "a\nb\x1b]0;x\x07";
  const std::string name = "a\x1b[2J";  // of a damaged file
  for (const std::string& text :
       {CacheText(name, memory, kNow), CacheJson(name, memory, kNow),
        CacheListLine(name, memory, kNow)})
    for (const char c : text)
      EXPECT_TRUE(c == '\n' || (c >= 0x20 && c <= 0x7e)) << text;
  EXPECT_EQ(CacheListLine("a.example", memory, kNow).find('\n'),
            std::string::npos);
}

TEST(CacheJson, OfAPolicy) {
  EXPECT_EQ(CacheJson("a.example", Remembered(), kNow + 10min),
            R"({"domain":"a.example","mode":"enforce","id":"1",)"
            R"("mx":["mx.example.com"],"max-age":604800,"in-force":true,)"
            R"("fetched-at":"2026-11-22T13:05:07Z",)"
            R"("expires-at":"2026-11-29T13:05:07Z",)"
            R"("next-look-at":"2026-11-22T20:05:07Z",)"
            R"("refetch-at":"2026-11-26T01:05:07Z",)"
            R"("used-at":"2026-11-22T13:05:14Z",)"
            R"("days-used":1,"expired-days":0})");
}

TEST(CacheJson, OfAFailure) {
  EXPECT_EQ(CacheJson("b.example", Failed(), kNow),
            R"({"domain":"b.example","failure":{"id":"1",)"
            R"("reason":"connection refused",)"
            R"("first-at":"2026-11-22T13:05:07Z",)"
            R"("last-at":"2026-11-22T13:10:07Z","tries":2}})");
}

TEST(CacheJson, SaysThatItHasExpired) {
  const std::string json =
      CacheJson("a.example", Remembered(), kNow + Seconds(604800));
  EXPECT_NE(json.find("\"in-force\":false"), std::string::npos);
}

TEST(CacheJson, IsOneLineOfEscapedText) {
  StsMemory memory = Failed();
  memory.failure->reason = "\"quoted\" \\ and\nnew line";
  const std::string json = CacheJson("b.example", memory, kNow);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_NE(json.find("\\\"quoted\\\""), std::string::npos) << json;
}

}  // namespace
}  // namespace postern
