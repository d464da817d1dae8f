#include "policy-daemon/log_follower.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "policy-daemon/journal_follower.h"

namespace postern {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

class LogFollowerTest : public testing::Test {
 protected:
  LogFollowerTest() {
    char folder[] = "/tmp/log_follower_XXXXXX";
    folder_ = mkdtemp(folder);
    log_ = folder_ + "/mail.log";
    position_ = folder_ + "/position";
  }
  ~LogFollowerTest() override { fs::remove_all(folder_); }

  void Write(const std::string& text) {
    std::ofstream(log_, std::ios::app) << text;
  }
  // As logrotate's `create`.
  void Rotate() {
    fs::rename(log_, log_ + ".1");
    std::ofstream file(log_);
  }
  void Start(LogFollower::Settings settings = {}) {
    follower_.emplace(log_, position_, settings);
  }
  void Stop() { follower_.reset(); }
  // kill -9: what was not saved is lost.
  void Kill() {
    const std::string saved = ReadPositionFile(position_);
    Stop();
    saved.empty() ? fs::remove(position_)
                  : !WritePositionFile(position_, saved).empty();
  }
  // All lines that are there now.
  Lines Read() {
    Lines lines;
    const LogSource::Take take = [&](const LogRecord& record) {
      EXPECT_FALSE(record.sender);
      lines.emplace_back(record.text);
    };
    for (int i = 0; follower_->ReadSome(now_, take); ++i) {
      if (i > 100000) {
        ADD_FAILURE() << "there is always more";
        break;
      }
    }
    return lines;
  }

  std::string folder_, log_, position_;
  SteadyTime now_{std::chrono::hours(1)};
  std::optional<LogFollower> follower_;
};

TEST_F(LogFollowerTest, BeginsAtTheEnd) {
  Write("old\n");
  Start();
  EXPECT_EQ(Read(), Lines{});
  Write("a\nb\n");
  EXPECT_EQ(Read(), (Lines{"a", "b"}));
  EXPECT_EQ(Read(), Lines{});
  EXPECT_EQ(follower_->problem(), "");
}

TEST_F(LogFollowerTest, ALineIsTakenWhenItsEndHasCome) {
  Write("ol");
  Start();
  Write("d\na");
  EXPECT_EQ(Read(), Lines{});
  Write("bc");
  EXPECT_EQ(Read(), Lines{});
  Write("d\ne");
  EXPECT_EQ(Read(), Lines{"abcd"});
}

TEST_F(LogFollowerTest, AFileThatAppearsIsReadFromItsBeginning) {
  Start();
  EXPECT_EQ(Read(), Lines{});
  EXPECT_NE(follower_->problem(), "");
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  EXPECT_EQ(follower_->problem(), "");
}

TEST_F(LogFollowerTest, AFolderIsNoLog) {
  fs::create_directory(log_);
  Start();
  EXPECT_EQ(Read(), Lines{});
  EXPECT_EQ(follower_->problem(), "cannot read " + log_ + ": not a file");
}

TEST_F(LogFollowerTest, FollowsARename) {
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  Write("b\n");
  Rotate();
  // The writer has not taken notice yet.
  std::ofstream(log_ + ".1", std::ios::app) << "c\n";
  EXPECT_EQ(Read(), (Lines{"b", "c"}));
  std::ofstream(log_ + ".1", std::ios::app) << "d\n";
  Write("e\n");
  EXPECT_EQ(Read(), (Lines{"d", "e"}));
  Rotate();
  Write("f\n");
  Rotate();
  Write("g\n");
  EXPECT_EQ(Read(), Lines{"g"}) << "f was never seen under its name";
}

TEST_F(LogFollowerTest, WaitsForTheNewFile) {
  Start();
  Write("a\n");
  fs::rename(log_, log_ + ".1");
  EXPECT_EQ(Read(), Lines{});
  Write("b\n");
  EXPECT_EQ(Read(), Lines{"b"});
}

TEST_F(LogFollowerTest, AFileThatIsGoneIsReadOn) {
  Write("old\n");
  Start();
  Write("a\n");
  fs::remove(log_);
  EXPECT_EQ(Read(), Lines{"a"});
  EXPECT_EQ(follower_->problem(), "");
}

TEST_F(LogFollowerTest, FollowsATruncation) {
  Start();
  Write("a\nb\n");
  EXPECT_EQ(Read(), (Lines{"a", "b"}));
  fs::copy(log_, log_ + ".1");
  fs::resize_file(log_, 0);
  EXPECT_EQ(Read(), Lines{});
  Write("c\n");
  EXPECT_EQ(Read(), Lines{"c"});
}

TEST_F(LogFollowerTest, FollowsATruncationThatWasNotSeen) {
  Start();
  Write("a\nb\n");
  EXPECT_EQ(Read(), (Lines{"a", "b"}));
  fs::resize_file(log_, 0);
  Write("c\nd\ne\n");
  EXPECT_EQ(Read(), (Lines{"c", "d", "e"}));
}

TEST_F(LogFollowerTest, LongLinesAreLeftOut) {
  Start({.chunk = 32 * 1024});
  const std::string longest(kMaxLogLine, 'x');
  for (const size_t more : {1, 100, 20000, 100000}) {
    Write("a\n" + longest + std::string(more, 'x'));
    EXPECT_EQ(Read(), Lines{"a"});
    Write("x\nb\n" + longest + "\n");
    EXPECT_EQ(Read(), (Lines{"b", longest}));
  }
}

TEST_F(LogFollowerTest, ManyLinesAreReadInChunks) {
  Start({.chunk = 32 * 1024});
  Lines written;
  std::string text;
  for (int i = 0; i < 20000; ++i) {
    written.push_back("line " + std::to_string(i));
    text += written.back() + "\n";
  }
  Write(text);
  EXPECT_EQ(Read(), written);
}

TEST_F(LogFollowerTest, GoesOnWhereItWas) {
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  Stop();
  Write("b\n");
  Start();
  EXPECT_EQ(Read(), Lines{"b"});
}

TEST_F(LogFollowerTest, APositionIsSavedEveryFewSeconds) {
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  EXPECT_NE(ReadPositionFile(position_), "");
  Write("b\n");
  now_ += Seconds(1);
  EXPECT_EQ(Read(), Lines{"b"});
  Kill();
  Start();
  EXPECT_EQ(Read(), Lines{"b"}) << "it was not saved";
  now_ += LogSource::kSaveInterval;
  Write("c\n");
  EXPECT_EQ(Read(), Lines{"c"});
  Kill();
  Start();
  EXPECT_EQ(Read(), Lines{});
}

TEST_F(LogFollowerTest, APositionIsTheBeginningOfALine) {
  Start();
  Write("a\nb");
  EXPECT_EQ(Read(), Lines{"a"});
  Stop();
  Write("c\n");
  Start();
  EXPECT_EQ(Read(), Lines{"bc"});
  const std::string too_long(kMaxLogLine + 1, 'x');
  Write("d\n" + too_long);
  EXPECT_EQ(Read(), Lines{"d"});
  Stop();
  Write("e\nf\n");
  Start();
  EXPECT_EQ(Read(), Lines{"f"});
}

TEST_F(LogFollowerTest, HalfALineIsNoPosition) {
  Write("ol");
  Start();
  EXPECT_EQ(Read(), Lines{});
  Stop();
  EXPECT_EQ(ReadPositionFile(position_), "");
}

TEST_F(LogFollowerTest, FindsAFileThatWasRenamedMeanwhile) {
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  Stop();
  Write("b\n");
  Rotate();
  Write("c\n");
  Start();
  EXPECT_EQ(Read(), (Lines{"b", "c"}));
}

TEST_F(LogFollowerTest, ReadsTheNewFileWhereTheOldOneIsGone) {
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  Stop();
  fs::rename(log_, log_ + ".1");
  Write("b\n");
  fs::remove(log_ + ".1");
  Start();
  EXPECT_EQ(Read(), Lines{"b"});
}

TEST_F(LogFollowerTest, ReadsAFileThatWasTruncatedMeanwhile) {
  Start();
  Write("a\nb\n");
  EXPECT_EQ(Read(), (Lines{"a", "b"}));
  Stop();
  fs::resize_file(log_, 0);
  Write("c\nd\ne\n");
  Start();
  EXPECT_EQ(Read(), (Lines{"c", "d", "e"}));
}

TEST_F(LogFollowerTest, DoesNotCatchUpForEver) {
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  Stop();
  Write(std::string(1000, 'b') + "\n");
  Start({.max_catch_up = 100});
  EXPECT_EQ(Read(), Lines{});
  Write("c\n");
  EXPECT_EQ(Read(), Lines{"c"});
}

TEST_F(LogFollowerTest, ADamagedPositionIsNone) {
  for (const std::string text :
       {"x", "postern-log-position 2\n1 2 3 -\n", "postern-log-position 1\n",
        "postern-log-position 1\n1 2 3 zz-\n", "postern-log-position 1\n-1\n"})
    for (const std::string& end : {std::string(), log_ + "\n"}) {
      fs::remove(log_);
      Write("old\n");
      WritePositionFile(position_, text + end);
      Start();
      EXPECT_EQ(Read(), Lines{}) << text;
    }
}

TEST_F(LogFollowerTest, AnotherLogHasAnotherPosition) {
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  Stop();
  log_ = folder_ + "/other.log";
  Write("old\n");
  Start();
  EXPECT_EQ(Read(), Lines{});
}

TEST_F(LogFollowerTest, APositionThatCannotBeSavedIsAProblem) {
  position_ = folder_ + "/none/position";
  Start();
  Write("a\n");
  EXPECT_EQ(Read(), Lines{"a"});
  EXPECT_NE(follower_->save_problem().find("none/position"), std::string::npos);
  EXPECT_EQ(follower_->problem(), "");
}

// A symbolic link to itself stands for what may not be opened, even by root.
TEST_F(LogFollowerTest, WhatCouldNotBeReadIsNotNew) {
  std::filesystem::create_symlink(log_, log_);
  Start();
  EXPECT_EQ(Read(), Lines{});
  EXPECT_NE(follower_->problem(), "");
  std::filesystem::remove(log_);
  Write("old\n");
  EXPECT_EQ(Read(), Lines{});
  Write("new\n");
  EXPECT_EQ(Read(), Lines{"new"});
}

TEST_F(LogFollowerTest, ARecordIsALine) {
  const std::string message =
      "Verified TLS connection established to mx[192.0.2.1]:25: TLSv1.3";
  const std::string text =
      "2026-11-22T23:07:35+00:00 mail postfix/smtp[443]: " + message;
  LogRecord record{text, std::nullopt};
  auto dated = ParseMaillogLine(text, {});
  ASSERT_TRUE(dated);
  dated->late = Seconds(1);  // by whoever wrote the file
  EXPECT_EQ(ParseLogRecord(record, {}), dated);
  record = {message, LogRecord::Sender{"postfix/smtp", 443,
                                       LogTime(std::chrono::seconds(7))}};
  const auto line = ParseLogRecord(record, {});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->pid, 443u);
  EXPECT_EQ(line->at, LogTime(std::chrono::seconds(7)));
  EXPECT_EQ(line->precision, std::chrono::microseconds(1));
  EXPECT_EQ(line->late, std::chrono::microseconds(0));
  record.sender->tag = "postfix/smtpd";
  EXPECT_FALSE(ParseLogRecord(record, {}));
}

// A journal with entries needs a journald (tests/e2e).
TEST_F(LogFollowerTest, AJournalThatMayNotBeReadIsAProblem) {
  for (const std::string& folder : {folder_, folder_ + "/none"}) {
    JournalFollower journal(folder, position_);
    EXPECT_NE(journal.problem(), "") << folder;
    EXPECT_FALSE(journal.ReadSome(
        now_, [](const LogRecord&) { ADD_FAILURE() << "a record"; }));
    journal.Save();
    EXPECT_EQ(ReadPositionFile(position_), "");
  }
}

}  // namespace
}  // namespace postern
