#include "report-sender/queue_takeover.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

std::string TextOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class QueueTakeoverTest : public testing::Test {
 protected:
  QueueTakeoverTest() {
    std::filesystem::create_directories(old_);
    std::filesystem::create_directories(folder_);
  }

  Result<bool> TakeOver() { return TakeOverQueue(spool_, folder_); }
  // Of a takeover that took nothing.
  void ExpectNothing() {
    const auto taken = TakeOver();
    ASSERT_TRUE(taken) << taken.error().message;
    EXPECT_FALSE(*taken);
    EXPECT_TRUE(std::filesystem::is_empty(folder_));
  }
  void Put(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  TemporaryFolder test_;
  const std::string spool_ = test_.PathOf("spool");
  const std::string old_ = spool_ + "/reports";
  const std::string folder_ = test_.PathOf("queue");
};

TEST_F(QueueTakeoverTest, CopiesWhatWaitsWithItsLog) {
  const std::string queue(200000, 'q');
  Put(old_ + "/reports.db", queue);
  Put(old_ + "/reports.db-wal", "log");
  Put(old_ + "/reports.db-shm", "of the old process");
  const auto taken = TakeOver();
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_TRUE(*taken);
  EXPECT_EQ(TextOf(folder_ + "/reports.db"), queue);
  EXPECT_EQ(TextOf(folder_ + "/reports.db-wal"), "log");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/reports.db-shm"));
  EXPECT_EQ(TextOf(old_ + "/reports.db"), queue) << "the old one stays";
}

TEST_F(QueueTakeoverTest, LeavesAQueueOfItsOwnAlone) {
  Put(old_ + "/reports.db", "old");
  Put(folder_ + "/reports.db", "new");
  const auto taken = TakeOver();
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_FALSE(*taken);
  EXPECT_EQ(TextOf(folder_ + "/reports.db"), "new");
}

TEST_F(QueueTakeoverTest, BeginsAnewAfterACopyThatWasCutShort) {
  Put(old_ + "/reports.db", "old");
  Put(folder_ + "/reports.db.taken-over", "half of a longer one");
  Put(folder_ + "/reports.db-wal", "half");
  Put(old_ + "/reports.db-wal", "log");
  const auto taken = TakeOver();
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_TRUE(*taken);
  EXPECT_EQ(TextOf(folder_ + "/reports.db"), "old");
  EXPECT_EQ(TextOf(folder_ + "/reports.db-wal"), "log");
}

TEST_F(QueueTakeoverTest, FindsNothingWhereThereIsNoQueue) {
  ExpectNothing();
  std::filesystem::remove(old_);
  ExpectNothing();
  std::filesystem::remove(spool_);
  ExpectNothing();
}

// The old folder belongs to somebody else.
TEST_F(QueueTakeoverTest, FollowsNoLink) {
  const std::string secret = test_.Write("reports.db", "secret");
  std::filesystem::create_symlink(secret, old_ + "/reports.db");
  EXPECT_FALSE(TakeOver());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/reports.db"));
  std::filesystem::remove(old_ + "/reports.db");
  ASSERT_EQ(mkfifo((old_ + "/reports.db").c_str(), 0600), 0);
  EXPECT_FALSE(TakeOver()) << "no plain file, and nothing to wait for";
  std::filesystem::remove_all(old_);
  std::filesystem::create_directory_symlink(test_.path(), old_);
  static_cast<void>(TakeOver());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/reports.db"));
}

}  // namespace
}  // namespace postern
