#include "common/spool_reader.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "common/outcome_json.h"
#include "common/spool_files.h"

#include "tests/support/outcomes.h"

namespace postern {
namespace {

class SpoolReaderTest : public testing::Test {
 protected:
  void Add(const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::app) << bytes;
  }
  SpoolReader Open(uint64_t offset = 0) {
    auto reader = SpoolReader::Open(path, offset);
    EXPECT_TRUE(reader);
    return std::move(*reader);
  }

  PolicyFolder temporary;
  std::string path = temporary.folder() + "/2026-11-22.jsonl";
  const std::string line = LineOf(DeliveredSessions());
  const std::string other = LineOf(FailedSession());
};

TEST_F(SpoolReaderTest, GivesOneOutcomeAfterTheOther) {
  Add(line + other + line);
  SpoolReader reader = Open();
  EXPECT_EQ(reader.Next(), DeliveredSessions());
  EXPECT_EQ(reader.offset(), line.size());
  EXPECT_EQ(reader.Next(), FailedSession());
  EXPECT_EQ(reader.Next(), DeliveredSessions());
  EXPECT_EQ(reader.Next(), std::nullopt);
  EXPECT_EQ(reader.offset(), std::filesystem::file_size(path));
  EXPECT_EQ(reader.skipped(), 0u);
  EXPECT_TRUE(reader.status());
}

TEST_F(SpoolReaderTest, AnEmptyFileHasNone) {
  Add("");
  SpoolReader reader = Open();
  EXPECT_EQ(reader.Next(), std::nullopt);
  EXPECT_EQ(reader.offset(), 0u);
}

TEST_F(SpoolReaderTest, SkipsAndCountsLinesThatAreNone) {
  Add("\n{\"at\":\"2026\n" + line + "{}\nnotes\n" + other +
      std::string(5000, '\0') + "\n" + line);
  SpoolReader reader = Open();
  EXPECT_EQ(reader.Next(), DeliveredSessions());
  EXPECT_EQ(reader.skipped(), 2u);
  EXPECT_EQ(reader.Next(), FailedSession());
  EXPECT_EQ(reader.skipped(), 4u);
  EXPECT_EQ(reader.Next(), DeliveredSessions());
  EXPECT_EQ(reader.skipped(), 5u);
}

TEST_F(SpoolReaderTest, ALineThatIsBeingWrittenIsLeftForLater) {
  Add(line + other.substr(0, 100));
  SpoolReader reader = Open();
  EXPECT_EQ(reader.Next(), DeliveredSessions());
  EXPECT_EQ(reader.Next(), std::nullopt);
  EXPECT_EQ(reader.offset(), line.size());
  Add(other.substr(100, other.size() - 101));
  EXPECT_EQ(reader.Next(), std::nullopt);
  Add("\n" + line);
  EXPECT_EQ(reader.Next(), FailedSession());
  EXPECT_EQ(reader.Next(), DeliveredSessions());
  EXPECT_EQ(reader.skipped(), 0u);
}

TEST_F(SpoolReaderTest, GivesLinesAsTheyAre) {
  Add(line + "notes\n\n" + std::string(2 * kMaxOutcomeLine, 'x') + "\n" +
      other);
  SpoolReader reader = Open();
  for (const std::string& expected :
       {line, std::string("notes\n"), std::string("\n"), std::string(), other})
    EXPECT_EQ(reader.NextLine(), expected);
  EXPECT_EQ(reader.NextLine(), std::nullopt);
  EXPECT_EQ(reader.skipped(), 0u);
  EXPECT_FALSE(reader.unfinished());
}

TEST_F(SpoolReaderTest, TellsOfALineWithoutEnd) {
  for (const std::string& rest :
       {std::string("x"), std::string(3 * kMaxOutcomeLine, 'x')}) {
    std::filesystem::remove(path);
    Add(line + rest);
    SpoolReader reader = Open();
    EXPECT_EQ(reader.NextLine(), line);
    EXPECT_EQ(reader.NextLine(), std::nullopt);
    EXPECT_TRUE(reader.unfinished()) << rest.size();
  }
}

TEST_F(SpoolReaderTest, AnotherGoesOnAtItsOffset) {
  Add(line + other + "torn");
  SpoolReader first = Open();
  EXPECT_EQ(first.Next(), DeliveredSessions());
  SpoolReader second = Open(first.offset());
  EXPECT_EQ(second.Next(), FailedSession());
  EXPECT_EQ(second.Next(), std::nullopt);
  Add("\n" + line);
  SpoolReader third = Open(second.offset());
  EXPECT_EQ(third.Next(), DeliveredSessions());
  EXPECT_EQ(third.skipped(), 1u);
}

TEST_F(SpoolReaderTest, LinesOfEveryLengthAcrossItsBuffer) {
  Outcome outcome = DeliveredSessions();
  for (size_t i = 0; i < 3000; ++i) {
    outcome.record.assign(i * 7 % 1000, 'x');
    outcome.successful = i;
    Add(LineOf(outcome));
  }
  SpoolReader reader = Open();
  for (size_t i = 0; i < 3000; ++i)
    EXPECT_EQ(reader.Next().value_or(Outcome()).successful, i);
  EXPECT_EQ(reader.Next(), std::nullopt);
}

TEST_F(SpoolReaderTest, ALineThatIsTooLongIsPassedInBoundedMemory) {
  Outcome longest = DeliveredSessions();
  longest.record.assign(longest.record.size() + kMaxOutcomeLine - line.size(),
                        'x');
  ASSERT_EQ(LineOf(longest).size(), kMaxOutcomeLine);
  for (const size_t length :
       {kMaxOutcomeLine, kMaxOutcomeLine + 65536, 20 * kMaxOutcomeLine}) {
    std::filesystem::remove(path);
    Add(line + std::string(length, 'x') + "\n" + LineOf(longest));
    SpoolReader reader = Open();
    EXPECT_EQ(reader.Next(), DeliveredSessions());
    EXPECT_EQ(reader.Next(), longest) << length;
    EXPECT_EQ(reader.skipped(), 1u);
    EXPECT_EQ(reader.offset(), std::filesystem::file_size(path));
  }
}

// Its offset stays where the line begins: who goes on there counts it once.
TEST_F(SpoolReaderTest, ALineThatIsTooLongMayBeUnfinished) {
  Add(line + std::string(2 * kMaxOutcomeLine, 'x'));
  SpoolReader reader = Open();
  EXPECT_EQ(reader.Next(), DeliveredSessions());
  EXPECT_EQ(reader.Next(), std::nullopt);
  EXPECT_EQ(reader.offset(), line.size());
  EXPECT_EQ(reader.skipped(), 0u);
  // What follows would be a line by itself.
  Add(line + other);
  EXPECT_EQ(reader.Next(), FailedSession());
  EXPECT_EQ(reader.skipped(), 1u);
  SpoolReader another = Open(line.size());
  EXPECT_EQ(another.Next(), FailedSession());
  EXPECT_EQ(another.skipped(), 1u);
}

TEST_F(SpoolReaderTest, WhatCannotBeReadIsAnError) {
  const auto reader = SpoolReader::Open(path);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().message,
            "cannot read " + path + ": No such file or directory");
  path = temporary.folder();
  SpoolReader folder = Open();
  EXPECT_EQ(folder.Next(), std::nullopt);
  ASSERT_FALSE(folder.status());
  EXPECT_EQ(folder.status().error().message,
            "cannot read " + path + ": Is a directory");
}

TEST_F(SpoolReaderTest, TheDaysThatHaveAFileInOrder) {
  for (const char* name :
       {"2026-11-22.jsonl", "2025-12-31.jsonl", "2026-11-03.jsonl", "notes",
        "2026-11-04.jsonl.gz", "2026-11-31.jsonl"})
    std::ofstream(temporary.folder() + "/" + name) << line;
  const auto days = ListSpoolDays(temporary.folder());
  ASSERT_TRUE(days);
  std::string names;
  for (const Day day : *days) names += FormatDay(day) + " ";
  EXPECT_EQ(names, "2025-12-31 2026-11-03 2026-11-22 ");
  EXPECT_EQ(SpoolPath("/spool", days->back()), "/spool/2026-11-22.jsonl");
  EXPECT_FALSE(ListSpoolDays(temporary.folder() + "/not"));
}

}  // namespace
}  // namespace postern
