#include "common/spool_writer.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <sched.h>

#include "common/outcome_json.h"
#include "common/spool_files.h"
#include "common/spool_reader.h"

#include "tests/support/outcomes.h"
#include "tests/support/policy_folder.h"

namespace postern {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Paths = std::vector<std::string>;

class SpoolWriterTest : public testing::Test {
 protected:
  std::string Path(WallTime time = kNow) const {
    return SpoolPath(directory, DayOf(time));
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void Write(const std::string& path, const std::string& bytes) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }
  void ExpectAppends(WallTime now, const std::string& lines) {
    const auto appended = writer.Append(now, lines);
    EXPECT_EQ(appended.error, "");
    EXPECT_EQ(appended.lines, static_cast<size_t>(std::count(
                                  lines.begin(), lines.end(), '\n')));
  }
  // The text of an append that adds nothing.
  std::string ErrorOf(WallTime now, const std::string& lines) {
    const auto appended = writer.Append(now, lines);
    EXPECT_EQ(appended.lines, 0u);
    EXPECT_NE(appended.error, "");
    EXPECT_EQ(writer.file(), nullptr);
    return appended.error;
  }
  void ExpectError(const std::string& error, const std::string& part) {
    EXPECT_NE(error.find(part), std::string::npos) << error;
    EXPECT_NE(error.find(directory), std::string::npos) << error;
  }

  PolicyFolder temporary;
  std::string directory = temporary.folder() + "/outcomes";
  SpoolWriter writer{directory};
  const std::string line = LineOf(DeliveredSessions());
  const std::string other = LineOf(FailedSession());
};

TEST_F(SpoolWriterTest, AppendsToTheFileOfTheDay) {
  EXPECT_EQ(writer.file(), nullptr);
  ExpectAppends(kNow, line);
  ExpectAppends(kNow, line + other);
  ExpectAppends(kNow, "");
  EXPECT_EQ(Path(), directory + "/2026-11-22.jsonl");
  EXPECT_EQ(Content(Path()), line + line + other);
  EXPECT_EQ(ModeOf(Path()), 0640u);
  EXPECT_EQ(ModeOf(directory), 0750u);
  EXPECT_TRUE(writer.file()->Sync());
}

TEST_F(SpoolWriterTest, GoesOnWhereItWasBeforeARestart) {
  ExpectAppends(kNow, line);
  writer = SpoolWriter(directory);
  ExpectAppends(kNow, other);
  EXPECT_EQ(Content(Path()), line + other);
}

TEST_F(SpoolWriterTest, AtMidnightTheNextFileBegins) {
  const WallTime midnight = DayOf(kNow) + std::chrono::days(1);
  ExpectAppends(midnight - 1s, line);
  const auto yesterday = writer.file();
  ExpectAppends(midnight, other);
  EXPECT_EQ(Content(directory + "/2026-11-22.jsonl"), line);
  EXPECT_EQ(Content(directory + "/2026-11-23.jsonl"), other);
  EXPECT_EQ(yesterday->path(), directory + "/2026-11-22.jsonl");
  EXPECT_EQ(writer.file()->path(), directory + "/2026-11-23.jsonl");
  bool synced = false;
  std::thread([&] { synced = yesterday->Sync().has_value(); }).join();
  EXPECT_TRUE(synced);
  // A clock that is set back.
  ExpectAppends(midnight - 1s, other);
  EXPECT_EQ(Content(directory + "/2026-11-22.jsonl"), line + other);
}

TEST_F(SpoolWriterTest, BeginsALineBehindATornOne) {
  Write(Path(), line + "{\"at\":\"20");
  ExpectAppends(kNow, other);
  ExpectAppends(kNow, other);
  EXPECT_EQ(Content(Path()), line + "{\"at\":\"20\n" + other + other);
}

TEST_F(SpoolWriterTest, AddsNothingToAFileThatEndsWell) {
  Write(Path(), "");
  ExpectAppends(kNow, line);
  EXPECT_EQ(Content(Path()), line);
}

// --- A full disk.

TEST_F(SpoolWriterTest, AFullDiskTakesWhatItCan) {
  ExpectAppends(kNow, line);
  {
    const FullDisk full(2 * line.size() + 10);
    const auto appended = writer.Append(kNow, line + other);
    EXPECT_EQ(appended.lines, 1u);
    ExpectError(appended.error, "make room");
    ExpectError(ErrorOf(kNow, other), "make room");
  }
  ExpectAppends(kNow, other);
  EXPECT_EQ(Content(Path()), line + line + other.substr(0, 10) + "\n" + other);
}

// Whoever appends the rest again has each line once, wherever it was cut.
TEST_F(SpoolWriterTest, NoLineIsLostOrDoubledByAFullDisk) {
  const std::vector<std::string> lines = {line, other, line};
  const auto from = [&](size_t first) {
    std::string rest;
    for (size_t i = first; i < lines.size(); ++i) rest += lines[i];
    return rest;
  };
  for (size_t room = 0; room < from(0).size(); ++room) {
    const WallTime day = kNow + std::chrono::days(room);
    size_t whole = 0;
    {
      const FullDisk full(room);
      whole = writer.Append(day, from(0)).lines;
    }
    ASSERT_LE(whole, lines.size());
    ExpectAppends(day, from(whole));
    auto reader = SpoolReader::Open(Path(day));
    ASSERT_TRUE(reader);
    EXPECT_EQ(reader->Next(), DeliveredSessions()) << room;
    EXPECT_EQ(reader->Next(), FailedSession()) << room;
    EXPECT_EQ(reader->Next(), DeliveredSessions()) << room;
    EXPECT_EQ(reader->Next(), std::nullopt) << room;
    fs::remove(Path(day));
  }
}

TEST_F(SpoolWriterTest, ADiskThatIsReallyFull) {
  // A tmpfs, in a mount namespace of its own.
  fs::create_directory(directory);
  if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(mount("none", directory.c_str(), "tmpfs", 0, "size=64k"), 0);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += other;
  const auto appended = writer.Append(kNow, many);
  EXPECT_EQ(appended.lines, 65536 / other.size());
  ExpectError(appended.error, "No space left on device; make room");
  ExpectError(ErrorOf(kNow + 24h, line), "No space left on device");
  fs::remove(Path());
  ExpectAppends(kNow + 24h, line);
  EXPECT_EQ(Content(Path(kNow + 24h)), line);
  // It is not mounted read-only under a file that is open for writing.
  writer = SpoolWriter(directory);
  ASSERT_EQ(mount("none", directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY,
                  nullptr),
            0);
  ExpectError(ErrorOf(kNow + 24h, line), "Read-only file system; mount it");
  EXPECT_EQ(umount2(directory.c_str(), MNT_DETACH), 0);
}

// --- What an operator does while it runs.

TEST_F(SpoolWriterTest, AFileThatIsMovedAwayIsMissedWithinASecond) {
  ExpectAppends(kNow, line);
  fs::rename(Path(), directory + "/rotated");
  ExpectAppends(kNow, line);
  ExpectAppends(kNow + 1s, other);
  EXPECT_EQ(Content(directory + "/rotated"), line + line);
  EXPECT_EQ(Content(Path()), other);
}

TEST_F(SpoolWriterTest, AFileThatIsReplacedIsMissedWithinASecond) {
  ExpectAppends(kNow, line);
  Write(directory + "/new", "torn");
  fs::rename(directory + "/new", Path());
  ExpectAppends(kNow + 1s, other);
  EXPECT_EQ(Content(Path()), "torn\n" + other);
}

TEST_F(SpoolWriterTest, AFolderThatIsDeletedIsMadeAgain) {
  ExpectAppends(kNow, line);
  fs::remove_all(directory);
  ExpectAppends(kNow + 1s, other);
  EXPECT_EQ(Content(Path()), other);
}

// Root may write everywhere; hence something that is no folder.
TEST_F(SpoolWriterTest, AFolderThatIsNoneIsAnErrorUntilItIsOne) {
  Write(directory, "no folder");
  ExpectError(ErrorOf(kNow, line), "Not a directory; make the folder");
  fs::remove(directory);
  ExpectAppends(kNow, line);
  EXPECT_EQ(Content(Path()), line);
}

TEST_F(SpoolWriterTest, OnlyTheLastPartOfTheFolderIsMade) {
  directory = temporary.folder() + "/not/there";
  writer = SpoolWriter(directory);
  ExpectError(ErrorOf(kNow, line), "No such file or directory");
  fs::create_directory(temporary.folder() + "/not");
  ExpectAppends(kNow, line);
}

TEST_F(SpoolWriterTest, WhatIsNoFileIsLeftAlone) {
  fs::create_directories(Path());
  ExpectError(ErrorOf(kNow, line), "Is a directory");
  ASSERT_EQ(mkfifo(Path(kNow + 24h).c_str(), 0600), 0);
  ExpectError(ErrorOf(kNow + 24h, line), "is no file");
}

// --- Bounds.

TEST_F(SpoolWriterTest, ADaysFileEndsAtItsBound) {
  const std::string lines = line + line + line;
  writer = SpoolWriter(directory, {.max_bytes = 2 * line.size() + 1});
  const auto appended = writer.Append(kNow, lines);
  EXPECT_EQ(appended.lines, 2u);
  EXPECT_NE(appended.error.find("spool.max_bytes"), std::string::npos);
  EXPECT_EQ(Content(Path()), line + line);
  ExpectError(writer.Append(kNow, line).error, "spool.max_bytes");
  EXPECT_EQ(writer.bytes(), 2 * line.size());
  ExpectAppends(kNow + 24h, line);
}

TEST_F(SpoolWriterTest, WhatStoodThereBeforeARestartCounts) {
  ExpectAppends(kNow, line + line);
  writer = SpoolWriter(directory, {.max_bytes = 2 * line.size()});
  ExpectError(writer.Append(kNow, line).error, "spool.max_bytes");
}

TEST_F(SpoolWriterTest, NothingIsWrittenWhereOthersNeedTheRoom) {
  writer = SpoolWriter(directory, {.min_free = uint64_t{1} << 62});
  for (int i = 0; i < 3; ++i)
    ExpectError(writer.Append(kNow + i * 1s, line).error, "spool.min_free");
  EXPECT_EQ(Content(Path()), "");
}

// --- kill -9.

TEST_F(SpoolWriterTest, WhenItIsKilledOnlyTheLastLineIsTorn) {
  std::string lines;  // many pages: a write can be cut short
  while (lines.size() < 60000) lines += line + other;
  std::mt19937 random(1);
  int torn = 0;
  for (int round = 0; round < 100; ++round) {
    const WallTime day = kNow + std::chrono::days(round);
    int appended[2];  // a pipe: a byte for each time
    ASSERT_EQ(pipe(appended), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      while (writer.Append(day, lines).error.empty() &&
             write(appended[1], "", 1) == 1)
        continue;
      _exit(1);
    }
    char byte = 0;
    for (auto times = random() % 10 + 1; times > 0; --times)
      EXPECT_EQ(read(appended[0], &byte, 1), 1);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    for (const int end : appended) close(end);

    const std::string content = Content(Path(day));
    for (size_t i = 0; i < content.size(); i += lines.size()) {
      const auto part = std::string_view(content).substr(i, lines.size());
      ASSERT_TRUE(lines.starts_with(part)) << round;
    }
    // The next process, and what a reader sees of the torn line.
    EXPECT_EQ(SpoolWriter(directory).Append(day, "{}\n" + line).error, "");
    const size_t whole = content.rfind('\n') + 1;
    auto reader = SpoolReader::Open(Path(day), whole);
    ASSERT_TRUE(reader);
    const std::string rest = content.substr(whole);
    const bool is_torn = !rest.empty() && !ParseOutcomeLine(rest);
    if (!rest.empty() && !is_torn) {
      EXPECT_TRUE(reader->Next()) << round;
    }
    EXPECT_EQ(reader->Next(), DeliveredSessions()) << round;
    EXPECT_EQ(reader->Next(), std::nullopt) << round;
    EXPECT_EQ(reader->skipped(), is_torn ? 2u : 1u) << round;
    torn += is_torn;
    fs::remove(Path(day));
  }
  RecordProperty("torn", torn);
}

}  // namespace
}  // namespace postern
