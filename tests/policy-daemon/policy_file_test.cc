// The remembered policies on disk: what goes in comes out, within bounds, and
// after every kind of end. Damage and full disks: policy_file_trouble_test.cc.
#include "policy-daemon/policy_file.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/support/policy_folder.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class PolicyFileTest : public testing::Test {
 protected:
  PolicyFileTest() { Open(); }

  void Open(uint64_t max_policies = 1000000, uint64_t max_bytes = 1 << 27) {
    file.reset();
    file = FileStore::Open({folder.path(), max_policies, max_bytes}, metrics);
  }
  void Put(const std::string& domain, StoredPolicy policy = SomePolicy(),
           WallTime now = kNow) {
    file->PutPolicy(domain, std::move(policy), now);
    file->Commit();
  }
  bool Holds(const std::string& domain) {
    return file->Find(domain).policy.has_value();
  }
  // The domain's policy is due `after` kNow.
  void PutDue(const std::string& domain, Seconds after) {
    StoredPolicy policy = SomePolicy();
    policy.check_at = kNow + after;
    Put(domain, std::move(policy));
  }
  std::unique_ptr<PolicyFileBeside> Beside(PolicyFileBeside::Access access) {
    auto opened = PolicyFileBeside::Open(folder.path(), access, metrics);
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }
  // From beside; the number of domains that were there.
  uint64_t Purge(const std::string& domain) {
    const auto purged =
        Beside(PolicyFileBeside::Access::kPurge)->Purge(domain, kNow + 1h);
    EXPECT_TRUE(purged) << purged.error().message;
    return *purged;
  }
  std::vector<std::string> Names(PolicyFileBeside& from) {
    std::vector<std::string> names;
    EXPECT_TRUE(from.ForEach([&](const std::string& domain, const StsMemory&) {
      names.push_back(domain);
    }));
    return names;
  }
  // `count` domains with a policy, made by SQL.
  void FillFromOutside(int count) {
    Put("template.example");
    folder.Sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
        "i < " +
        std::to_string(count) +
        ") INSERT INTO policies(domain, id, policy, fetched_at, expires_at, "
        "refetch_at, check_at, used_at) SELECT 'd' || i || '.example', id, "
        "policy, fetched_at, expires_at, refetch_at, check_at, used_at FROM n, "
        "policies WHERE domain = 'template.example'");
  }

  Metrics metrics;
  PolicyFolder folder;
  std::unique_ptr<FileStore> file;
};

using Domains = std::vector<std::string>;

using PolicyFileRoundTripTest = PolicyFileTest;
using PolicyFileAgendaTest = PolicyFileTest;
using PolicyFileBoundsTest = PolicyFileTest;
using PolicyFileSurvivalTest = PolicyFileTest;
using PolicyFileUpgradeTest = PolicyFileTest;
using PolicyFileBesideTest = PolicyFileTest;

// --- What goes in comes out.

TEST_F(PolicyFileRoundTripTest, WhatWasNeverPutIsNotFound) {
  EXPECT_EQ(Told(file->Find("a.example")), "nothing");
}

TEST_F(PolicyFileRoundTripTest, APolicyIsFoundAsItWasPut) {
  Put("a.example", SomePolicy("mx.a.example", "abc"));
  const std::string told = Told({SomePolicy("mx.a.example", "abc"), {}});
  EXPECT_EQ(Told(file->Find("a.example")), told);
  Open();
  EXPECT_EQ(Told(file->Find("a.example")), told);
  EXPECT_EQ(Told(file->Find("b.example")), "nothing");
}

TEST_F(PolicyFileRoundTripTest, AFailureIsFoundAsItWasPut) {
  file->table.PutFailure("a.example", SomeFailure());
  EXPECT_EQ(Told(file->Find("a.example")), Told({{}, SomeFailure()}));
  Open();
  EXPECT_EQ(Told(file->Find("a.example")), Told({{}, SomeFailure()}));
}

TEST_F(PolicyFileRoundTripTest, ItIsFoundBeforeItIsCommitted) {
  file->PutPolicy("a.example", SomePolicy(), kNow);
  EXPECT_TRUE(Holds("a.example"));
}

TEST_F(PolicyFileRoundTripTest, StrangeTextsAreKept) {
  FailedFetch failure = SomeFailure("id'); DROP TABLE policies; --");
  failure.reason = std::string("\x00\xff\x80 '\"\n", 7);
  file->table.PutFailure("a.example", failure);
  Open();
  EXPECT_EQ(Told(file->Find("a.example")), Told({{}, failure}));
}

TEST_F(PolicyFileRoundTripTest, APolicyOfTheLargestSizeIsKept) {
  std::string text = "version: STSv1\nmode: enforce\nmax_age: 86400\n";
  for (int i = 0; text.size() < kMaxPolicyBytes - 100; ++i)
    text += "mx: host" + std::to_string(i) + ".example.com\n";
  StoredPolicy policy = SomePolicy();
  policy.policy = std::make_shared<const StsPolicy>(*ParseStsPolicy(text));
  Put("a.example", policy);
  Open();
  EXPECT_EQ(*file->Find("a.example").policy->policy, *policy.policy);
}

TEST_F(PolicyFileRoundTripTest, AFailureLeavesThePolicy) {
  Put("a.example");
  file->table.PutFailure("a.example", SomeFailure());
  EXPECT_EQ(Told(file->Find("a.example")), Told({SomePolicy(), SomeFailure()}));
}

TEST_F(PolicyFileRoundTripTest, APolicyForgetsTheFailure) {
  file->table.PutFailure("a.example", SomeFailure());
  Put("a.example");
  EXPECT_EQ(Told(file->Find("a.example")), Told({SomePolicy(), {}}));
}

TEST_F(PolicyFileRoundTripTest, ANewerPolicyReplacesTheOlderOne) {
  Put("a.example", SomePolicy("mx1.example.com", "1"));
  Put("a.example", SomePolicy("mx2.example.com", "2"));
  EXPECT_EQ(Told(file->Find("a.example")),
            Told({SomePolicy("mx2.example.com", "2"), {}}));
  EXPECT_EQ(file->policies(), 1u);
}

TEST_F(PolicyFileRoundTripTest, ARefetchIsNoUse) {
  Put("a.example");
  StoredPolicy refetched = SomePolicy();
  refetched.used_at = WallTime{};
  Put("a.example", refetched, kNow + 1h);
  EXPECT_EQ(file->Find("a.example").policy->used_at, SomePolicy().used_at);
}

TEST_F(PolicyFileRoundTripTest, AFirstPolicyCountsAsUsed) {
  StoredPolicy first = SomePolicy();
  first.used_at = WallTime{};
  Put("a.example", first, kNow + 5s);
  EXPECT_EQ(file->Find("a.example").policy->used_at, kNow + 5s);
}

TEST_F(PolicyFileRoundTripTest, WhatIsForgottenIsNotFound) {
  Put("a.example");
  file->table.PutFailure("a.example", SomeFailure());
  file->table.Forget("a.example");
  EXPECT_EQ(Told(file->Find("a.example")), "nothing");
  EXPECT_EQ(file->policies(), 0u);
  Open();
  EXPECT_EQ(Told(file->Find("a.example")), "nothing");
}

TEST_F(PolicyFileRoundTripTest, ForgettingWhatIsNotThereDoesNothing) {
  file->table.Forget("a.example");
  file->Commit();
  EXPECT_EQ(file->policies(), 0u);
}

TEST_F(PolicyFileRoundTripTest, ThousandsAreVisitedInOrderOfNames) {
  FillFromOutside(3500);  // more than three pages
  Open();
  const Domains names = Names(*Beside(PolicyFileBeside::Access::kRead));
  EXPECT_EQ(names.size(), 3501u);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

// --- The agenda.

TEST_F(PolicyFileAgendaTest, ADomainIsDueFromItsTimeOn) {
  PutDue("a.example", 10s);
  EXPECT_EQ(file->table.Due(kNow + 9s, 10), Domains());
  EXPECT_EQ(file->table.Due(kNow + 10s, 10), Domains{"a.example"});
}

TEST_F(PolicyFileAgendaTest, TheLongestWaitingComeFirst) {
  PutDue("c.example", 30s);
  PutDue("a.example", 20s);
  PutDue("b.example", 10s);
  EXPECT_EQ(file->table.Due(kNow + 1h, 2), (Domains{"b.example", "a.example"}));
}

TEST_F(PolicyFileAgendaTest, ScheduleMovesThePlace) {
  PutDue("a.example", 10s);
  file->table.Schedule("a.example", SomePolicy().fetched_at, kNow + 100s);
  EXPECT_EQ(file->table.Due(kNow + 99s, 10), Domains());
  EXPECT_EQ(file->table.Due(kNow + 100s, 10), Domains{"a.example"});
  EXPECT_EQ(file->Find("a.example").policy->used_at, SomePolicy().used_at);
}

TEST_F(PolicyFileAgendaTest, NoteUseMovesThePlaceAndTheUse) {
  PutDue("a.example", 10s);
  file->table.NoteUse("a.example", kNow + 50s, kNow + 60s);
  EXPECT_EQ(file->Find("a.example").policy->used_at, kNow + 50s);
  EXPECT_EQ(file->table.Due(kNow + 59s, 10), Domains());
  EXPECT_EQ(file->table.Due(kNow + 60s, 10), Domains{"a.example"});
}

TEST_F(PolicyFileAgendaTest, AFailureAloneGoesWhenItsMemoryEnds) {
  file->table.PutFailure("a.example", SomeFailure());
  file->table.Schedule("a.example", SomePolicy().fetched_at, kNow);
  file->table.NoteUse("a.example", kNow, kNow);
  EXPECT_EQ(file->table.Due(kNow + kFailureMemory - 1s, 10), Domains());
  EXPECT_TRUE(file->Find("a.example").failure);
  EXPECT_EQ(file->table.Due(kNow + kFailureMemory, 10), Domains());
  EXPECT_EQ(Told(file->Find("a.example")), "nothing");
}

TEST_F(PolicyFileAgendaTest, AFailureDoesNotMoveThePolicysPlace) {
  PutDue("a.example", 10s);
  file->table.PutFailure("a.example", SomeFailure());
  EXPECT_EQ(file->table.Due(kNow + 10s, 10), Domains{"a.example"});
}

// --- Bounds.

TEST_F(PolicyFileBoundsTest, AFullFileTakesNewsOfWhatItHolds) {
  Open(1);
  Put("a.example", SomePolicy("mx1.example.com", "1"));
  Put("a.example", SomePolicy("mx2.example.com", "2"));
  EXPECT_EQ(file->Find("a.example").policy->id, "2");
}

TEST_F(PolicyFileBoundsTest, ForgottenPoliciesMakeRoom) {
  Open(1);
  Put("a.example");
  file->table.Forget("a.example");
  Put("b.example");
  EXPECT_TRUE(Holds("b.example"));
}

TEST_F(PolicyFileBoundsTest, FailuresTakeNoPolicysRoom) {
  Open(1);
  for (int i = 0; i < 10; ++i)
    file->table.PutFailure("y" + std::to_string(i) + ".example", SomeFailure());
  Put("a.example");
  EXPECT_TRUE(Holds("a.example"));
}

// --- Survival.

TEST_F(PolicyFileSurvivalTest, WhatIsCommittedSurvivesKill9) {
  PolicyFolder after;
  for (int i = 0; i < 10; ++i) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    Put(domain);
    for (const bool with_shared_memory : {true, false}) {
      after.TakeFrom(folder, with_shared_memory);
      const auto reopened = FileStore::Open({after.path()}, metrics);
      EXPECT_EQ(reopened->policies(), static_cast<uint64_t>(i + 1));
      EXPECT_EQ(Told(reopened->Find(domain)), Told({SomePolicy(), {}}));
    }
  }
  EXPECT_EQ(after.SetAside(), Domains());
}

TEST_F(PolicyFileSurvivalTest, WhatIsNotCommittedIsAsItWasBefore) {
  Put("a.example", SomePolicy("mx1.example.com", "1"));
  file->PutPolicy("a.example", SomePolicy("mx2.example.com", "2"), kNow);
  file->PutPolicy("b.example", SomePolicy(), kNow);
  PolicyFolder after;
  after.TakeFrom(folder);
  const auto reopened = FileStore::Open({after.path()}, metrics);
  EXPECT_EQ(reopened->Find("a.example").policy->id, "1");
  EXPECT_EQ(Told(reopened->Find("b.example")), "nothing");
}

TEST_F(PolicyFileSurvivalTest, ATornLogLosesNoMoreThanItsEnd) {
  Put("a.example");
  Put("b.example");
  PolicyFolder after;
  const auto size = std::filesystem::file_size(folder.path() + "-wal");
  for (uintmax_t cut = 1; cut < 4200; cut += 400) {
    after.TakeFrom(folder, /*with_shared_memory=*/false);
    std::filesystem::resize_file(after.path() + "-wal", size - cut);
    const auto reopened = FileStore::Open({after.path()}, metrics);
    EXPECT_TRUE(reopened->Find("a.example").policy) << cut;
  }
  EXPECT_EQ(after.SetAside(), Domains());
}

// --- Upgrades.

// What version 1 wrote. Changing this file needs a migration.
constexpr char kVersion1[] =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE policies("
    "  domain TEXT PRIMARY KEY NOT NULL,"
    "  id TEXT NOT NULL,"
    "  policy TEXT,"
    "  fetched_at INTEGER NOT NULL,"
    "  expires_at INTEGER NOT NULL,"
    "  refetch_at INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "INSERT INTO policies VALUES('a.example', 'abc',"
    "  'version: STSv1' || char(10) || 'mode: enforce' || char(10) ||"
    "  'mx: mx.a.example' || char(10) || 'max_age: 604800' || char(10),"
    "  1795352707, 1795957507, 1795396000);"
    "PRAGMA application_id = 0x5053544e;"
    "PRAGMA user_version = 1;";

TEST_F(PolicyFileUpgradeTest, Version1IsBroughtUpToDate) {
  PolicyFolder old;
  old.Sql(kVersion1);
  const auto upgraded = FileStore::Open({old.path()}, metrics);
  const StsMemory memory = upgraded->Find("a.example");
  ASSERT_TRUE(memory.policy);
  EXPECT_EQ(memory.policy->policy->mx, Domains{"mx.a.example"});
  EXPECT_EQ(memory.policy->id, "abc");
  EXPECT_EQ(memory.policy->fetched_at, kNow);
  EXPECT_EQ(memory.policy->expires_at, kNow + Seconds(604800));
  EXPECT_EQ(memory.policy->used_at, kNow) << "idle domains are left alone";
  EXPECT_EQ(upgraded->table.Due(kNow, 10), Domains{"a.example"});
  EXPECT_EQ(old.SqlNumber("PRAGMA user_version"), kSchemaVersion);
  EXPECT_EQ(old.SetAside(), Domains());
}

TEST_F(PolicyFileUpgradeTest, ItIsUpgradedOnceOnly) {
  PolicyFolder old;
  old.Sql(kVersion1);
  FileStore::Open({old.path()}, metrics)->table.Forget("a.example");
  const auto again = FileStore::Open({old.path()}, metrics);
  EXPECT_EQ(Told(again->Find("a.example")), "nothing");
}

TEST_F(PolicyFileUpgradeTest, AKilledUpgradeIsDoneAgain) {
  PolicyFolder old;
  old.Sql(kVersion1);
  {
    FullDisk full(old.Read().size());
    FileStore::Open({old.path()}, metrics);
  }
  EXPECT_EQ(old.SqlNumber("PRAGMA user_version"), 1);
  const auto upgraded = FileStore::Open({old.path()}, metrics);
  EXPECT_TRUE(upgraded->Find("a.example").policy);
}

TEST_F(PolicyFileUpgradeTest, ANewerVersionIsSetAsideAndTakenOver) {
  Put("a.example");
  file.reset();
  folder.Sql("ALTER TABLE policies ADD COLUMN colour TEXT");
  folder.Sql("PRAGMA user_version = 4");
  Open();
  EXPECT_EQ(folder.SetAside().size(), 1u);
  EXPECT_TRUE(Holds("a.example"));
  EXPECT_EQ(metrics.Counter("postern_store_set_aside_total", "").Value(), 1);
}

// --- From beside a running daemon.

TEST_F(PolicyFileBesideTest, WithoutAFileThereIsAnError) {
  const PolicyFolder none;
  const auto opened = PolicyFileBeside::Open(
      none.path(), PolicyFileBeside::Access::kRead, metrics);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("no daemon has run"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(none.path()));
}

// Where one cannot even ask whether it exists.
TEST_F(PolicyFileBesideTest, APathInCirclesIsAnError) {
  const std::string circle = folder.folder() + "/circle";
  std::filesystem::create_directory_symlink("circle", circle);
  const std::string path = circle + "/policies.db";
  const auto opened =
      PolicyFileBeside::Open(path, PolicyFileBeside::Access::kRead, metrics);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find(path), std::string::npos);
}

TEST_F(PolicyFileBesideTest, AnotherVersionIsAnError) {
  PolicyFolder old;
  old.Sql(kVersion1);
  const auto opened = PolicyFileBeside::Open(
      old.path(), PolicyFileBeside::Access::kRead, metrics);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("another version"), std::string::npos);
}

TEST_F(PolicyFileBesideTest, ReadsWhatTheDaemonHasCommitted) {
  Put("a.example");
  const auto reader = Beside(PolicyFileBeside::Access::kRead);
  EXPECT_EQ(Told(reader->Find("a.example")), Told({SomePolicy(), {}}));
  Put("b.example");
  EXPECT_EQ(Names(*reader), (Domains{"a.example", "b.example"}));
}

TEST_F(PolicyFileBesideTest, ThePurgedIsGoneAndTheDaemonIsTold) {
  Put("a.example");
  Put("b.example");
  EXPECT_EQ(file->Poll(), Domains());
  EXPECT_EQ(Purge("a.example"), 1u);
  EXPECT_EQ(file->Poll(), Domains{"a.example"});
  EXPECT_FALSE(Holds("a.example"));
  EXPECT_TRUE(Holds("b.example"));
  EXPECT_EQ(file->Poll(), Domains()) << "told once";
  EXPECT_EQ(file->policies(), 1u);
}

TEST_F(PolicyFileBesideTest, AllCanBePurged) {
  Put("a.example");
  file->table.PutFailure("b.example", SomeFailure());
  file->Commit();
  EXPECT_EQ(Purge(""), 2u);
  EXPECT_EQ(file->Poll(), Domains{""});
  EXPECT_EQ(Names(*Beside(PolicyFileBeside::Access::kRead)), Domains());
}

TEST_F(PolicyFileBesideTest, PurgingWhatIsNotThereTellsTheDaemonAllTheSame) {
  // It may stand in the daemon's memory only.
  EXPECT_EQ(Purge("a.example"), 0u);
  EXPECT_EQ(file->Poll(), Domains{"a.example"});
}

TEST_F(PolicyFileBesideTest, PurgesWithoutADaemonAreToldToTheNextOnce) {
  Put("a.example");
  file.reset();
  Purge("a.example");
  Open();
  EXPECT_EQ(file->Poll(), Domains{"a.example"});
  EXPECT_EQ(file->Poll(), Domains());
  EXPECT_FALSE(Holds("a.example"));
  EXPECT_EQ(folder.SqlNumber("SELECT count(*) FROM purged"), 0);
}

TEST_F(PolicyFileBesideTest, WhatIsYoungerThanThePurgeStays) {
  Purge("a.example");
  file->PutPolicy("a.example", SomePolicy(), kNow + 2h);
  EXPECT_EQ(file->Poll(), Domains{"a.example"});
  EXPECT_TRUE(Holds("a.example"));
  Open();
  EXPECT_TRUE(Holds("a.example"));
}

// The clock was ahead when it was put, and has been set right since.
TEST_F(PolicyFileBesideTest, WhatComesFromTheFutureIsPurgedAllTheSame) {
  Put("a.example", SomePolicy(), kNow + 9000h);
  Purge("a.example");
  EXPECT_EQ(file->Poll(), Domains{"a.example"});
  EXPECT_FALSE(Holds("a.example"));
}

}  // namespace
}  // namespace postern
