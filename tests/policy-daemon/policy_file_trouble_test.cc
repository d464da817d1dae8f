// The remembered policies on disks that fail: damaged, foreign, full,
// read-only. Nothing is ever emptied, nothing crashes, and what can be read
// still holds.
#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "policy-daemon/policy_file.h"
#include "tests/support/policy_folder.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

using Domains = std::vector<std::string>;

class PolicyFileTroubleTest : public testing::Test {
 protected:
  void Open() {
    file.reset();
    file = FileStore::Open({folder.path()}, metrics);
  }
  void Put(const std::string& domain, StoredPolicy policy = SomePolicy()) {
    file->PutPolicy(domain, std::move(policy), kNow);
    file->Commit();
  }
  bool Holds(const std::string& domain) {
    return file->Find(domain).policy.has_value();
  }
  static std::string Name(int i) {
    return "d" + std::to_string(1000 + i) + ".example";
  }
  // A file with kMany policies, closed.
  static constexpr int kMany = 500;
  void Fill() {
    Open();
    for (int i = 0; i < kMany; ++i)
      file->PutPolicy(Name(i), SomePolicy(), kNow);
    file.reset();
  }
  int Held() {
    int held = 0;
    for (int i = 0; i < kMany; ++i) held += Holds(Name(i));
    return held;
  }
  // Where a page begins, from the middle on, that holds policies.
  static size_t PageOf(const std::string& bytes) {
    for (size_t at = bytes.size() / 8192 * 4096; at < bytes.size();
         at += 4096) {
      const std::string_view page = std::string_view(bytes).substr(at, 4096);
      if (page.find(".example") != page.npos &&
          page.find("enforce") != page.npos)
        return at;
    }
    ADD_FAILURE() << "no such page";
    return 0;
  }
  static void Destroy(std::string& bytes) {
    bytes.replace(PageOf(bytes), 4096, std::string(4096, '\xa5'));
  }
  double SetAsides() {
    return metrics.Counter("postern_store_set_aside_total", "").Value();
  }
  double Errors() {
    return metrics.Counter("postern_store_errors_total", "").Value();
  }
  // What was in the file is kept beside it, byte for byte, and the new file
  // works.
  void ExpectSetAside(const std::string& bytes) {
    const Domains aside = folder.SetAside();
    ASSERT_EQ(aside.size(), 1u);
    std::ifstream kept(aside[0], std::ios::binary);
    EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(kept), {}) == bytes);
    EXPECT_EQ(SetAsides(), 1);
    ExpectWorking();
  }
  void ExpectWorking() {
    Put("new.example");
    file->table.PutFailure("failed.example", SomeFailure());
    Open();
    EXPECT_EQ(Told(file->Find("new.example")), Told({SomePolicy(), {}}));
    EXPECT_EQ(Told(file->Find("failed.example")), Told({{}, SomeFailure()}));
  }

  Metrics metrics;
  PolicyFolder folder;
  std::unique_ptr<FileStore> file;
};

using PolicyFileDamageTest = PolicyFileTroubleTest;
using PolicyFileFullDiskTest = PolicyFileTroubleTest;
using PolicyFileReadOnlyTest = PolicyFileTroubleTest;

// --- Damage.

TEST_F(PolicyFileDamageTest, ACorruptHeader) {
  Fill();
  std::string bytes = folder.Read();
  bytes.replace(0, 16, "This is no base.");
  folder.Write(bytes);
  Open();
  ExpectSetAside(bytes);
}

TEST_F(PolicyFileDamageTest, AnEmptiedFileDoesNotPassForAFirstStart) {
  Fill();
  folder.Write("");
  Open();
  ExpectSetAside("");
  EXPECT_EQ(Held(), 0);
}

TEST_F(PolicyFileDamageTest, AnEmptiedFileIsOneDaemonsAlone) {
  folder.Write("");
  Open();
  auto second = FileStore::Open({folder.path()}, metrics);
  second->PutPolicy(Name(0), SomePolicy(), kNow);
  second->Commit();
  EXPECT_FALSE(Holds(Name(0)));
}

// SQLite takes a file of one byte for a new one.
TEST_F(PolicyFileDamageTest, AFileOfOneByte) {
  folder.Write("S");
  Open();
  ExpectSetAside("S");
}

TEST_F(PolicyFileDamageTest, ATextFile) {
  const std::string text = "# my notes\n" + std::string(10000, 'x');
  folder.Write(text);
  Open();
  ExpectSetAside(text);
}

// It was turned into our journal mode before it was looked at.
TEST_F(PolicyFileDamageTest, AForeignDatabaseStaysAsItIs) {
  folder.Sql(
      "CREATE TABLE accounts(name TEXT); INSERT INTO accounts VALUES('x')");
  const std::string bytes = folder.Read();
  Open();
  ExpectSetAside(bytes);
}

TEST_F(PolicyFileDamageTest, AForeignDatabaseWithATableOfOurName) {
  folder.Sql(
      "CREATE TABLE policies(domain TEXT, premium INTEGER);"
      "PRAGMA user_version = 3");
  const std::string bytes = folder.Read();
  Open();
  ExpectSetAside(bytes);
}

// A fault found at the start was not recognized as one: the daemon went on
// without the file, and without what was in it.
TEST_F(PolicyFileDamageTest, GarbageInTheMiddleLeavesWhatIsAround) {
  Fill();
  std::string bytes = folder.Read();
  Destroy(bytes);
  folder.Write(bytes);
  Open();
  const int held = Held();
  EXPECT_GT(held, kMany * 8 / 10) << "both sides of the fault are readable";
  EXPECT_LT(held, kMany);
  EXPECT_EQ(Held(), held) << "and stay so";
  EXPECT_LE(folder.SetAside().size(), 1u);
  ExpectWorking();
}

TEST_F(PolicyFileDamageTest, WhatWasTakenOverIsLookedAtSoon) {
  Fill();
  std::string bytes = folder.Read();
  Destroy(bytes);
  folder.Write(bytes);
  Open();
  Held();
  const int held = Held();
  EXPECT_EQ(file->table.Due(kNow, kMany).size(), static_cast<size_t>(held));
}

// Found by reading: names and times were taken over unchecked.
TEST_F(PolicyFileDamageTest, WhatMakesNoSenseIsNotTakenOver) {
  Fill();
  folder.Sql(
      "UPDATE policies SET domain = 'a' || char(27) || '[2J' WHERE "
      "domain = '" +
      Name(1) + "'");
  folder.Sql("UPDATE policies SET domain = 'Upper.example' WHERE domain = '" +
             Name(2) + "'");
  folder.Sql(
      "UPDATE policies SET expires_at = expires_at + 1000000000 WHERE "
      "domain = '" +
      Name(3) + "'");
  folder.Sql("PRAGMA user_version = 99");
  Open();
  EXPECT_EQ(SetAsides(), 1);
  EXPECT_EQ(file->policies(), size_t{kMany - 3});
  EXPECT_EQ(Held(), kMany - 3);
}

TEST_F(PolicyFileDamageTest, HalfAFileGivesWhatIsInThatHalf) {
  Fill();
  const std::string bytes = folder.Read();
  folder.Write(bytes.substr(0, bytes.size() / 2));
  Open();
  EXPECT_GT(Held(), kMany / 10);
  ExpectSetAside(bytes.substr(0, bytes.size() / 2));
}

TEST_F(PolicyFileDamageTest, AnyLengthIsSurvived) {
  Fill();
  const std::string bytes = folder.Read();
  for (size_t size = 1; size < bytes.size(); size += bytes.size() / 40) {
    PolicyFolder other;
    other.Write(bytes.substr(0, size));
    const auto opened = FileStore::Open({other.path()}, metrics);
    opened->PutPolicy("new.example", SomePolicy(), kNow);
    opened->Commit();
    EXPECT_TRUE(opened->Find("new.example").policy) << size;
    // What is missing of the last page may have been empty.
    const bool may_pass = size > bytes.size() - 4096;
    EXPECT_TRUE(may_pass || other.SetAside().size() == 1) << size;
  }
}

TEST_F(PolicyFileDamageTest, AnyGarbageIsSurvived) {
  Fill();
  const std::string bytes = folder.Read();
  std::mt19937 random(1);
  for (int round = 0; round < 60; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 1 + round % 20; ++i)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    PolicyFolder other;
    other.Write(damaged);
    const auto opened = FileStore::Open({other.path()}, metrics);
    for (int i = 0; i < kMany; i += 50) opened->Find(Name(i));
    opened->table.Due(kNow + 720h, 1000);
    for (int i = 0; i < kMany; i += 70)
      opened->table.Schedule(Name(i), SomePolicy().fetched_at, kNow);
    opened->table.Forget(Name(7));
    opened->PutPolicy("new.example", SomePolicy(), kNow);
    opened->Commit();
    opened->Poll();
    EXPECT_TRUE(opened->Find("new.example").policy) << round;
  }
}

TEST_F(PolicyFileDamageTest, DamageWhileItRunsIsSetAsideAndTakenOver) {
  Fill();
  const std::string bytes = folder.Read();
  Open();
  std::fstream disk(folder.path(), std::ios::in | std::ios::out);
  disk.seekp(static_cast<std::streamoff>(PageOf(bytes)));
  disk << std::string(4096, '\xa5');
  disk.close();
  // A change from outside, so that it does not write from its cache.
  folder.Sql("INSERT INTO purged VALUES('x.example', 1)");
  for (int i = 0; i < kMany; ++i)
    file->table.NoteUse(Name(i), kNow + 1h, kNow + 1h);
  file->Poll();
  EXPECT_EQ(SetAsides(), 1);
  EXPECT_EQ(Held(), kMany);
  Open();
  EXPECT_EQ(Held(), kMany) << "memory is written anew";
  ExpectWorking();
}

TEST_F(PolicyFileDamageTest, NamesOfFilesSetAsideDoNotCollide) {
  for (int i = 1; i <= 3; ++i) {
    file.reset();
    folder.Write("no database, attempt " + std::to_string(i));
    std::filesystem::remove(folder.path() + "-wal");
    Open();
    EXPECT_EQ(folder.SetAside().size(), static_cast<size_t>(i));
  }
}

TEST_F(PolicyFileDamageTest, APolicyThatDoesNotParseIsNotThere) {
  Fill();
  folder.Sql("UPDATE policies SET policy = 'mode: enforce' WHERE domain = '" +
             Name(3) + "'");
  Open();
  EXPECT_FALSE(Holds(Name(3)));
  EXPECT_EQ(Held(), kMany - 1);
  file->table.Forget(Name(3));
  EXPECT_EQ(file->table.Due(kNow + 720h, 1000).size(), size_t{kMany - 1});
}

// Found by reading: `cache show` renamed a damaged file under the running
// daemon.
TEST_F(PolicyFileDamageTest, OnlyTheDaemonSetsItsFileAside) {
  Fill();
  std::string bytes = folder.Read();
  bytes.replace(bytes.size() / 3, bytes.size() / 3,
                std::string(bytes.size() / 3, '\xa5'));
  folder.Write(bytes);
  {
    auto beside = PolicyFileBeside::Open(
        folder.path(), PolicyFileBeside::Access::kRead, metrics);
    ASSERT_TRUE(beside);
    for (int i = 0; i < kMany; ++i) (*beside)->Find(Name(i));
    EXPECT_FALSE((*beside)->ForEach([](const auto&, const auto&) {}));
  }
  EXPECT_EQ(folder.SetAside(), Domains());
  EXPECT_TRUE(folder.Read() == bytes);
}

// --- A full disk.

TEST_F(PolicyFileFullDiskTest, WhatItRefusesAnswersAsIfItWereWritten) {
  Open();
  Put("a.example", SomePolicy("mx1.example.com", "1"));
  const FullDisk full;
  Put("a.example", SomePolicy("mx2.example.com", "2"));
  Put("b.example");
  file->table.PutFailure("c.example", SomeFailure());
  file->Commit();
  EXPECT_EQ(file->Find("a.example").policy->id, "2");
  EXPECT_TRUE(Holds("b.example"));
  EXPECT_TRUE(file->Find("c.example").failure);
  EXPECT_GT(Errors(), 0);
}

TEST_F(PolicyFileFullDiskTest, ItIsWrittenAsSoonAsThereIsRoom) {
  Open();
  {
    const FullDisk full;
    Put("a.example");
    file->table.PutFailure("c.example", SomeFailure());
    file->Poll();
  }
  file->Poll();
  PolicyFolder after;
  after.TakeFrom(folder);
  file = FileStore::Open({after.path()}, metrics);
  EXPECT_EQ(Told(file->Find("a.example")), Told({SomePolicy(), {}}));
  EXPECT_EQ(Told(file->Find("c.example")), Told({{}, SomeFailure()}));
}

TEST_F(PolicyFileFullDiskTest, ItIsNoReasonToSetTheFileAside) {
  Fill();
  Open();
  {
    const FullDisk full;
    for (int i = 0; i < 20; ++i) {
      Put(Name(i), SomePolicy("mx2.example.com", "2"));
      file->Poll();
    }
    EXPECT_EQ(Held(), kMany);
  }
  file->Poll();
  EXPECT_EQ(file->Find(Name(0)).policy->id, "2");
  EXPECT_EQ(folder.SetAside(), Domains());
  EXPECT_EQ(file->policies(), size_t{kMany});
}

TEST_F(PolicyFileFullDiskTest, ForgettingIsRememberedToo) {
  Open();
  Put("a.example");
  {
    const FullDisk full;
    file->table.Forget("a.example");
    file->Commit();
    EXPECT_FALSE(Holds("a.example"));
  }
  file->Poll();
  Open();
  EXPECT_FALSE(Holds("a.example"));
}

TEST_F(PolicyFileFullDiskTest, TheAgendaGoesOnInMemory) {
  Open();
  Put("a.example");
  const FullDisk full;
  Put("b.example");
  file->table.Schedule("a.example", SomePolicy().fetched_at, kNow + 1h);
  file->table.Schedule("b.example", SomePolicy().fetched_at, kNow + 2h);
  file->Commit();
  EXPECT_EQ(file->table.Due(kNow + 1h, 10), Domains{"a.example"});
  EXPECT_EQ(file->table.Due(kNow + 2h, 10).size(), 2u);
}

// Found by reading: what was not written by the last moment was lost, also
// where there was room again.
TEST_F(PolicyFileFullDiskTest, AtTheEndItIsTriedOnceMore) {
  Open();
  {
    const FullDisk full;
    Put("a.example");
  }
  Open();
  EXPECT_TRUE(Holds("a.example"));
}

std::string PolicyOf(size_t bytes) {
  return "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 86400\n"
         "x: " +
         std::string(bytes, 'x') + "\n";
}

// Found by reading: where a fault ended the transaction, what it held was lost
// to a later change of the same domain.
TEST_F(PolicyFileFullDiskTest, ATransactionThatFailsLosesNothing) {
  Open();
  {
    // More than the cache holds, so that the fault comes amid it.
    const FullDisk full(std::filesystem::file_size(folder.path() + "-wal") +
                        (1 << 20));
    const std::string text = PolicyOf(59000);
    StoredPolicy large = SomePolicy();
    large.policy = std::make_shared<const StsPolicy>(*ParseStsPolicy(text));
    for (int i = 0; i < kMany; ++i) file->PutPolicy(Name(i), large, kNow);
    for (int i = 0; i < kMany; ++i)
      file->table.NoteUse(Name(i), kNow, kNow + 1h);
    file->Commit();
    EXPECT_EQ(Held(), kMany);
  }
  file->Poll();
  Open();
  EXPECT_EQ(Held(), kMany);
}

// Found by reading: a restart on a full disk cost every remembered policy.
TEST_F(PolicyFileFullDiskTest, ARestartStillKnowsWhatIsOnIt) {
  Fill();
  {
    const FullDisk full;
    Open();
    EXPECT_EQ(Held(), kMany);
    Put("a.example");
    file->table.PutFailure(Name(1), SomeFailure());
    EXPECT_TRUE(Holds("a.example"));
    EXPECT_TRUE(file->Find(Name(1)).failure);
  }
  file->Poll();
  Open();
  EXPECT_EQ(Held(), kMany);
  EXPECT_TRUE(Holds("a.example"));
  EXPECT_TRUE(file->Find(Name(1)).failure);
  EXPECT_EQ(folder.SetAside(), Domains());
}

TEST_F(PolicyFileFullDiskTest, ARestartAfterACrashKnowsTheLogToo) {
  Open();
  Put("a.example");
  PolicyFolder after;
  after.TakeFrom(folder, /*with_shared_memory=*/false);
  const FullDisk full;
  file = FileStore::Open({after.path()}, metrics);
  EXPECT_TRUE(Holds("a.example"));
}

TEST_F(PolicyFileFullDiskTest, AFirstStartRemembersInMemory) {
  {
    const FullDisk full;
    Open();
    Put("a.example");
    EXPECT_TRUE(Holds("a.example"));
    EXPECT_EQ(file->Poll(), Domains());
  }
  file->Poll();
  EXPECT_TRUE(Holds("a.example"));
  Open();
  EXPECT_TRUE(Holds("a.example"));
  EXPECT_EQ(SetAsides(), 0);
}

// It was set aside again each second, as an empty file, and then forgotten.
TEST_F(PolicyFileFullDiskTest, ADamagedFileIsSetAsideOnce) {
  Fill();
  std::string bytes = folder.Read();
  bytes.replace(0, 16, "This is no base.");
  folder.Write(bytes);
  {
    const FullDisk full;
    Open();
    for (int i = 0; i < 3; ++i) file->Poll();
  }
  file->Poll();
  ExpectSetAside(bytes);
}

// What was refused while it was taken over went with the process.
TEST_F(PolicyFileFullDiskTest, WhatCouldNotBeTakenOverIsTheNextTime) {
  Fill();
  const std::string aside = folder.path() + ".unreadable-20260101T000000Z";
  std::filesystem::rename(folder.path(), aside);
  Open();
  file.reset();
  std::filesystem::rename(aside + ".taken", aside);
  folder.Sql("DELETE FROM policies");
  StoredPolicy newer = SomePolicy();
  newer.id = "newer";
  Open();
  Put(Name(0), newer);
  file.reset();
  std::filesystem::rename(aside + ".taken", aside);
  folder.Sql("DELETE FROM policies WHERE domain > '" + Name(0) + "'");
  Open();
  EXPECT_EQ(Held(), kMany);
  EXPECT_EQ(file->Find(Name(0)).policy->id, "newer");
}

// --- A folder that takes no file. (Root may write everywhere; hence a folder
// that stands where SQLite wants its log.)

class PolicyFileUnwritableTest : public PolicyFileTroubleTest {
 protected:
  void Obstruct() {
    std::filesystem::create_directories(folder.path() + "-wal/x");
  }
  void Clear() { std::filesystem::remove_all(folder.path() + "-wal"); }
};

TEST_F(PolicyFileUnwritableTest, WhatIsThereStillHolds) {
  Fill();
  Obstruct();
  Open();
  EXPECT_EQ(Held(), kMany);
  EXPECT_GT(Errors(), 0);
  EXPECT_EQ(folder.SetAside(), Domains());
  file.reset();
  Clear();
}

TEST_F(PolicyFileUnwritableTest, WhatCameMeanwhileIsWrittenAfterwards) {
  Fill();
  Obstruct();
  Open();
  Put("a.example");
  file->table.Forget(Name(0));
  file->Poll();
  EXPECT_TRUE(Holds("a.example"));
  EXPECT_FALSE(Holds(Name(0)));
  Clear();
  file->Poll();
  Open();
  EXPECT_TRUE(Holds("a.example"));
  EXPECT_FALSE(Holds(Name(0)));
  EXPECT_EQ(Held(), kMany - 1);
}

TEST_F(PolicyFileUnwritableTest, WhatCannotBeReadIsNotTakenForNothing) {
  Fill();
  {
    const UnreadableDisk disk;
    Open();
    EXPECT_TRUE(file->Find(Name(0)).unread);
  }
  file->Poll();
  EXPECT_FALSE(file->Find(Name(0)).unread);
  EXPECT_TRUE(Holds(Name(0)));
}

TEST_F(PolicyFileUnwritableTest, AFileThatCannotBeOpenedIsNotTakenForNothing) {
  Open();
  EXPECT_FALSE(file->Find(Name(0)).unread);
  file.reset();
  std::filesystem::remove(folder.path());
  std::filesystem::create_directory(folder.path());
  Open();
  EXPECT_TRUE(file->Find(Name(0)).unread);
}

// What is noted while the file cannot be read is no word against what it holds.
TEST_F(PolicyFileUnwritableTest, AFailureNotedBlindlyLeavesThePolicyOnDisk) {
  Fill();
  const std::string elsewhere = folder.folder() + "/elsewhere";
  std::filesystem::rename(folder.path(), elsewhere);
  std::filesystem::create_directory(folder.path());  // nothing can be opened
  Open();
  FailedFetch failure;
  failure.id = "2";
  failure.first_at = failure.last_at = kNow;
  file->table.PutFailure(Name(0), failure);
  EXPECT_FALSE(Holds(Name(0)));
  std::filesystem::remove(folder.path());
  std::filesystem::rename(elsewhere, folder.path());
  file->Poll();
  EXPECT_TRUE(Holds(Name(0)));
  EXPECT_TRUE(file->Find(Name(0)).failure);
}

TEST_F(PolicyFileUnwritableTest, APurgeGoesBeforeWhatWaitsToBeWritten) {
  Fill();
  Open();
  {
    const FullDisk full;
    file->table.NoteUse(Name(0), kNow + 1h, kNow + 1h);
    file->Commit();
  }
  auto beside = PolicyFileBeside::Open(
      folder.path(), PolicyFileBeside::Access::kPurge, metrics);
  ASSERT_TRUE((*beside)->Purge(Name(0), kNow + 1h));
  EXPECT_EQ(file->Poll(), Domains{Name(0)});
  EXPECT_FALSE(Holds(Name(0)));
}

// kill -9 between the new name and the taking over.
TEST_F(PolicyFileUnwritableTest, WhatWasSetAsideIsTakenOverByTheNextStart) {
  Fill();
  std::filesystem::rename(folder.path(),
                          folder.path() + ".unreadable-20260101T000000Z");
  Open();
  EXPECT_EQ(Held(), kMany);
  file.reset();
  std::filesystem::remove(folder.path());
  Open();
  EXPECT_EQ(Held(), 0);  // once
}

TEST_F(PolicyFileUnwritableTest,
       ASecondDaemonReadsAndWritesWhenTheFirstHasGone) {
  Fill();
  Open();
  auto second = FileStore::Open({folder.path()}, metrics);
  EXPECT_TRUE(second->Find(Name(0)).policy);
  second->table.NoteUse(Name(0), kNow + 5h, kNow + 5h);
  EXPECT_NE(file->Find(Name(0)).policy->used_at, kNow + 5h);
  file.reset();
  second->Poll();
  second.reset();
  Open();
  EXPECT_EQ(file->Find(Name(0)).policy->used_at, kNow + 5h);
}

TEST_F(PolicyFileUnwritableTest, AFolderThatIsNotThereYetIsNoEnd) {
  const std::string path = folder.folder() + "/later/policies.db";
  file = FileStore::Open({path}, metrics);
  Put("a.example");
  EXPECT_TRUE(Holds("a.example"));
  std::filesystem::create_directory(folder.folder() + "/later");
  file->Poll();
  file = FileStore::Open({path}, metrics);
  EXPECT_TRUE(Holds("a.example"));
}

TEST_F(PolicyFileUnwritableTest, TheAgendaIsWorkedOffAllTheSame) {
  Fill();
  Obstruct();
  Open();
  EXPECT_EQ(file->table.Due(kNow + 720h, 1000).size(), size_t{kMany});
  file->table.Schedule(Name(0), SomePolicy().fetched_at, kNow + 800h);
  EXPECT_EQ(file->table.Due(kNow + 720h, 1000).size(), size_t{kMany - 1});
  file.reset();
  Clear();
}

}  // namespace
}  // namespace postern
