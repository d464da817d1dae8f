#include "report-sender/read_day.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "common/spool_files.h"

#include "tests/report-sender/lines.h"

namespace postern {
namespace {

class ReadDayTest : public testing::Test {
 protected:
  ReadDayTest() {
    root = (std::filesystem::temp_directory_path() / "postern-XXXXXX").string();
    EXPECT_NE(mkdtemp(root.data()), nullptr);
    for (const std::string& one : {first, second})
      std::filesystem::create_directory(Folder(one));
  }
  ~ReadDayTest() override { std::filesystem::remove_all(root); }

  std::string Folder(const std::string& name) { return root + "/" + name; }
  void Write(const std::string& name, const std::string& bytes, Day of = day) {
    std::ofstream(SpoolPath(Folder(name), of), std::ios::binary) << bytes;
  }
  Result<std::vector<std::string>> Read(const std::vector<std::string>& names,
                                        bool had_outcomes = false) {
    std::vector<std::string> folders;
    for (const std::string& name : names) folders.push_back(Folder(name));
    return ReadDay(folders, had_outcomes, day, totals);
  }
  // Of example.com.
  uint64_t successful() {
    uint64_t sum = 0;
    if (const auto domain = totals.Of("example.com"))
      for (const PolicyTotals& policy : domain->policies)
        sum += policy.successful;
    return sum;
  }

  static constexpr Day day = std::chrono::year(2026) / 11 / 22;
  const std::string line = LineOf(StsSuccess());
  const std::string first = "first";
  const std::string second = "second";
  std::string root;
  DayTotals totals;
};

TEST_F(ReadDayTest, ReadsTheDaysFileAlone) {
  Write(first, line + line);
  Write(first, line, day - std::chrono::days(1));
  ASSERT_TRUE(Read({first}));
  EXPECT_EQ(successful(), 6u);
}

TEST_F(ReadDayTest, SeveralSpoolsAreOneDay) {
  Write(first, line);
  Write(second, line + LineOf(StsSuccess("example.net")));
  ASSERT_TRUE(Read({first, second}));
  EXPECT_EQ(successful(), 6u);
  EXPECT_EQ(totals.domains().size(), 2u);
}

TEST_F(ReadDayTest, TheSameFileCountsOnce) {
  Write(first, line);
  std::filesystem::create_directory_symlink(Folder(first), Folder("link"));
  std::filesystem::create_hard_link(SpoolPath(Folder(first), day),
                                    SpoolPath(Folder(second), day));
  ASSERT_TRUE(Read({first, first, second, "link", "first/../first/"}));
  EXPECT_EQ(successful(), 3u);
}

TEST_F(ReadDayTest, ADayWithoutAFileHasNothing) {
  Write(second, line);
  ASSERT_TRUE(Read({first, second}));
  EXPECT_EQ(successful(), 3u);
}

TEST_F(ReadDayTest, ATornEndIsSkippedAndCounted) {
  Write(first, line + line.substr(0, line.size() - 1));
  Write(second, "torn\n" + line + "{\"at");
  ASSERT_TRUE(Read({first, second}));
  EXPECT_EQ(successful(), 6u);
  EXPECT_EQ(totals.skipped(), 3u);
}

TEST_F(ReadDayTest, AFolderThatIsNotThereIsAnError) {
  const auto status = Read({"not/outcomes"});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message,
            "cannot read " + root +
                "/not/outcomes/2026-11-22.jsonl: No such file or directory");
}

// Another machine's spool: its mount point is there, its outcomes are not.
TEST_F(ReadDayTest, AFurtherSpoolThatIsNotThereIsMissing) {
  Write(first, line);
  for (const char* name : {"outcomes", "not/outcomes"}) {
    totals = DayTotals();
    const auto missing = Read({first, second, name});
    ASSERT_TRUE(missing);
    EXPECT_EQ(*missing, std::vector<std::string>{Folder(name)});
    EXPECT_EQ(successful(), 3u);
  }
}

// The first outcome makes the folder of day files.
TEST_F(ReadDayTest, BeforeTheFirstOutcomeThereIsNothing) {
  ASSERT_TRUE(Read({"outcomes"}));
  EXPECT_EQ(totals.lines(), 0u);
}

// Its mount point is empty.
TEST_F(ReadDayTest, OurOwnSpoolThatWasThereAndIsNotIsMissing) {
  Write(second, line);
  const auto missing = Read({"outcomes", second}, true);
  ASSERT_TRUE(missing);
  EXPECT_EQ(*missing, std::vector<std::string>{Folder("outcomes")});
  EXPECT_EQ(successful(), 3u);
  EXPECT_EQ(*Read({first}, true), std::vector<std::string>());
}

TEST_F(ReadDayTest, SoIsAFileThatCannotBeRead) {
  std::filesystem::create_directory(SpoolPath(Folder(first), day));
  const auto status = Read({first});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message,
            "cannot read " + root + "/first/2026-11-22.jsonl: Is a directory");
}

}  // namespace
}  // namespace postern
