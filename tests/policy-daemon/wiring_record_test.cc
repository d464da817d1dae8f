#include "policy-daemon/wiring_record.h"

#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "policy-daemon/postfix_files.h"

namespace postern {
namespace {

class WiringRecordTest : public testing::Test {
 protected:
  WiringRecordTest() {
    std::string name = testing::TempDir() + "postern_record_XXXXXX";
    folder_ = mkdtemp(name.data());
    path_ = folder_ + "/postern-setup.json";
  }
  ~WiringRecordTest() override { std::filesystem::remove_all(folder_); }

  std::string WhyUnusable() {
    const auto record = ReadWiringRecord(path_);
    return record ? "" : record.error().message;
  }

  std::string folder_, path_;
};

Change MainCf(const std::string& name, std::optional<std::string> before,
              std::optional<std::string> after, const std::string& entry = "") {
  return {Change::File::kMainCf, name,  std::move(before),
          std::move(after),      entry, ""};
}

WiringRecord Example() {
  return {{MainCf("smtp_tls_loglevel", "0", "1"),
           MainCf("smtp_tls_policy_maps", std::nullopt, "a \"b\" \\ x", "x"),
           {Change::File::kMasterCf, "tlsproxy/unix", std::nullopt,
            "tlsproxy unix - - y - 0 tlsproxy", "", ""}},
          {"socketmap:unix:old:policy"}};
}

TEST_F(WiringRecordTest, IsReadAsItWasWritten) {
  ASSERT_TRUE(WriteWiringRecord(path_, Example()));
  const auto read = ReadWiringRecord(path_);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_TRUE(*read);
  EXPECT_EQ((*read)->changes, Example().changes);
  EXPECT_EQ((*read)->earlier, Example().earlier);
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644u);
}

TEST_F(WiringRecordTest, MayBeMissing) {
  const auto read = ReadWiringRecord(path_);
  ASSERT_TRUE(read);
  EXPECT_FALSE(*read);
}

TEST_F(WiringRecordTest, IsNotBelievedWhereOthersMayWriteIt) {
  ASSERT_TRUE(WriteWiringRecord(path_, Example()));
  for (mode_t mode : {0664u, 0646u}) {
    chmod(path_.c_str(), mode);
    EXPECT_NE(WhyUnusable().find("others may write it"), std::string::npos);
  }
}

TEST_F(WiringRecordTest, IsNotBelievedOfAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(WriteWiringRecord(path_, Example()));
  ASSERT_EQ(chown(path_.c_str(), 65534, 0), 0);
  EXPECT_NE(WhyUnusable().find("not root's"), std::string::npos);
}

TEST_F(WiringRecordTest, IsNotBelievedBehindALink) {
  ASSERT_TRUE(WriteWiringRecord(folder_ + "/other", Example()));
  std::filesystem::create_symlink("other", path_);
  EXPECT_NE(WhyUnusable().find("symbolic link"), std::string::npos);
}

TEST_F(WiringRecordTest, ReplacesNoLinkOfAnothersInItsPlace) {
  std::ofstream(folder_ + "/precious") << "precious";
  std::filesystem::create_symlink("precious", path_ + ".new");
  ASSERT_TRUE(WriteWiringRecord(path_, Example()));
  EXPECT_EQ(*ReadFile(folder_ + "/precious"), "precious");
}

TEST(WiringRecordText, NamesNothingThatSetupDoesNotChange) {
  const auto text = [](const std::string& change) {
    return "{\"version\":1,\"changes\":[" + change + "],\"earlier\":[]}";
  };
  const std::string good =
      R"({"file":"main.cf","name":"smtp_tls_loglevel","before":null,)"
      R"("after":"1","entry":""})";
  EXPECT_TRUE(WiringRecord::Parse(text(good)));
  const auto with = [&](const std::string& old, const std::string& fresh) {
    std::string changed = good;
    changed.replace(changed.find(old), old.size(), fresh);
    return text(changed);
  };
  for (const std::string& bad :
       {with("smtp_tls_loglevel", "alias_maps"), with("main.cf", "aliases"),
        with("\"1\"", R"("1\nx = y")"), with("null", "7"),
        with(",\"entry\":\"\"", ""), text(good + "," + good), text("7"),
        std::string("{}"), std::string(""), std::string("[1]"),
        std::string(R"({"version":2,"changes":[],"earlier":[]})"),
        std::string(R"({"version":1,"changes":[]})"),
        std::string(R"({"version":1,"changes":[],"earlier":["a\nb"]})")})
    EXPECT_FALSE(WiringRecord::Parse(bad)) << bad;
}

TEST(PostfixFiles, MeaningIsInWordsAlone) {
  EXPECT_TRUE(MeanTheSame("a = b c\n# x\n\nd=\n  e\n", "a=b  c\nd = e"));
  EXPECT_TRUE(MeanTheSame("smtp unix - - y - - smtp\n  -o a=b\n",
                          "smtp  unix -  - y - - smtp -o a=b\n"));
  EXPECT_FALSE(MeanTheSame("a = b\n", "a = c\n"));
  EXPECT_FALSE(MeanTheSame("a = b\n", "#a = b\n"));
  EXPECT_FALSE(MeanTheSame("a = b\n", ""));
}

TEST_F(WiringRecordTest, ACopyHasItsModeAndOwner) {
  const std::string from = folder_ + "/main.cf";
  std::ofstream(from) << "a = b\n";
  chmod(from.c_str(), 0640);
  ASSERT_TRUE(CopyDurably(from, folder_ + "/copy"));
  struct stat status {};
  ASSERT_EQ(stat((folder_ + "/copy").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(*ReadFile(folder_ + "/copy"), "a = b\n");
}

TEST_F(WiringRecordTest, ModeAndOwnerComeBack) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string path = folder_ + "/main.cf";
  std::ofstream(path) << "a = b\n";
  ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  const auto owner = OwnerOf(path);
  ASSERT_TRUE(owner);
  std::filesystem::remove(path);
  std::ofstream(path) << "a = c\n";
  ASSERT_TRUE(SetOwner(path, *owner));
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(status.st_uid, 65534u);
  EXPECT_EQ(status.st_gid, 65534u);
}

TEST_F(WiringRecordTest, WhatIsMovedAsideKeepsItsText) {
  const std::string path = folder_ + "/copy";
  std::ofstream(path) << "old";
  const auto aside = MoveAside(path);
  ASSERT_TRUE(aside) << aside.error().message;
  EXPECT_EQ(*ReadFile(*aside), "old");
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(WiringRecordTest, AFolderIsLockedOnce) {
  const auto first = LockFolder(folder_);
  ASSERT_TRUE(first);
  EXPECT_TRUE(*first);
  const auto second = LockFolder(folder_);
  ASSERT_TRUE(second);
  EXPECT_FALSE(*second);
}

}  // namespace
}  // namespace postern
