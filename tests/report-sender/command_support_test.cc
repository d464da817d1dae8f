#include "report-sender/command_support.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(DayOption, IsADayOrAWordForIt) {
  CommandLine line;
  const Day today = DayOf(WallNow());
  for (const auto& [text, day] :
       std::initializer_list<std::pair<std::optional<std::string>, Day>>{
           {std::nullopt, today - std::chrono::days(1)},
           {"yesterday", today - std::chrono::days(1)},
           {"today", today},
           {"2026-11-22", std::chrono::year(2026) / 11 / 22},
           {"2024-02-29", std::chrono::year(2024) / 2 / 29}}) {
    line.day = text;
    const auto option = DayOption(line);
    ASSERT_TRUE(option) << text.value_or("none");
    // (Unless it has just become another day.)
    EXPECT_TRUE(*option == day || DayOf(WallNow()) != today)
        << text.value_or("none");
  }
}

TEST(DayOption, IsNoOtherWord) {
  CommandLine line;
  for (const char* text : {"", "Today", "tomorrow", "2026-02-29", "22.11.2026",
                           "2026-11-22T00:00:00Z", "-1"}) {
    line.day = text;
    const auto option = DayOption(line);
    ASSERT_FALSE(option) << text;
    EXPECT_EQ(option.error().message,
              "--day cannot be '" + std::string(text) +
                  "'; expected a day such as 2026-11-22, today or yesterday");
  }
}

TEST(DomainArgument, IsOneDomainAtMostInNormalForm) {
  CommandLine line;
  line.command = "send";
  EXPECT_EQ(*DomainArgument(line), "");
  line.arguments = {"Example.COM."};
  EXPECT_EQ(*DomainArgument(line), "example.com");
  line.arguments = {"a@example.com"};
  EXPECT_EQ(DomainArgument(line).error().message,
            "'a@example.com' is no domain");
  line.arguments = {"\x1b[2J"};
  EXPECT_EQ(DomainArgument(line).error().message, "'\\x1b[2J' is no domain");
  line.arguments = {"example.com", "example.org"};
  EXPECT_EQ(DomainArgument(line).error().message,
            "send takes one DOMAIN at most");
}

TEST(Counted, HasAPluralButForOne) {
  EXPECT_EQ(Counted(0, "report"), "0 reports");
  EXPECT_EQ(Counted(1, "report"), "1 report");
  EXPECT_EQ(Counted(2, "report"), "2 reports");
}

}  // namespace
}  // namespace postern
