#include "policy-daemon/wiring_removal.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "policy-daemon/our_entries.h"
#include "tests/support/postfix_fixture.h"

namespace postern {
namespace {

using Strings = std::vector<std::string>;

constexpr char kMaps[] = "smtp_tls_policy_maps";
constexpr char kOurs[] = "socketmap:unix:postern/policy.sock:policy";
constexpr char kPeer[] = "socketmap:inet:127.0.0.1:8461:postfix";

// All that setup can change.
Options Everything() {
  Options options = Receiving("/var/spool/postfix/postern/tlsrpt.sock");
  options.milter.listen =
      *ListenAddress::Parse("unix:/var/spool/postfix/postern/milter.sock");
  options.report.sender_address = "r@example.org";
  return options;
}

// Wires it, and returns the record of that.
WiringRecord Wire(PostfixFixture& postfix, const Options& options,
                  std::optional<WiringRecord> record = {}) {
  const auto plan =
      PlanWiring(postfix.settings, options,
                 record ? record->Entries() : std::vector<std::string>());
  for (const Change& change : plan.changes) postfix.Make(change);
  return Merged(std::move(record), plan.changes);
}

RemovalPlan Remove(PostfixFixture& postfix, const Options& options,
                   const std::optional<WiringRecord>& record) {
  auto plan = PlanRemoval(postfix.settings, options, record);
  for (const Change& change : plan.changes) postfix.Make(change);
  return plan;
}

Strings Services(const PostfixFixture& postfix) {
  Strings names;
  for (const auto& service : postfix.settings.services)
    names.push_back(service.name);
  return names;
}

bool Has(const Strings& list, const std::string& part) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& text) {
    return text.find(part) != std::string::npos;
  });
}

TEST(PlanRemoval, GoesBackToWhatWasThere) {
  for (const char* version : {"3.7.11", "3.10.4"}) {
    PostfixFixture postfix = Fresh(version);
    postfix.Set("smtp_tls_connection_reuse", "yes");
    postfix.Set(kMaps, "hash:/a,  pcre:/b");
    postfix.Set("smtp_tls_loglevel", "0");
    postfix.Set("smtpd_milters", "");
    const PostfixFixture before = postfix;
    const auto record = Wire(postfix, Everything());
    EXPECT_NE(postfix.settings.explicit_values,
              before.settings.explicit_values);
    const auto plan = Remove(postfix, Everything(), record);
    EXPECT_EQ(postfix.settings.explicit_values, before.settings.explicit_values)
        << version;
    EXPECT_EQ(Services(postfix), Services(before)) << version;
    EXPECT_EQ(plan.left, (Strings{}));
    EXPECT_EQ(plan.warnings, (Strings{}));
    EXPECT_TRUE(
        PlanRemoval(postfix.settings, Everything(), record).changes.empty())
        << "the second time";
  }
}

TEST(PlanRemoval, FindsNothingAtAPostfixThatWasNeverWired) {
  PostfixFixture postfix = Fresh("3.7.11");
  const auto plan = PlanRemoval(postfix.settings, Everything(), {});
  EXPECT_TRUE(plan.changes.empty());
  EXPECT_EQ(plan.left, (Strings{}));
}

TEST(PlanRemoval, AKillBeforeTheChangesLeavesNothingToUndo) {
  PostfixFixture postfix = Fresh("3.7.11");
  postfix.Set("smtp_tls_loglevel", "0");
  postfix.Set(kMaps, "hash:/a");
  PostfixFixture other = postfix;
  const auto record = Wire(other, Everything());
  const auto plan = PlanRemoval(postfix.settings, Everything(), record);
  EXPECT_TRUE(plan.changes.empty());
  EXPECT_EQ(plan.left, (Strings{}));
}

TEST(PlanRemoval, LeavesWhatTheAdministratorHasChangedSince) {
  PostfixFixture postfix = Fresh("3.7.11");
  postfix.Set("smtp_dns_support_level", "enabled");
  const auto record = Wire(postfix, Listening(kInQueue));
  postfix.Set("smtp_tls_loglevel", "2");
  postfix.Unset("smtp_dns_support_level");
  const auto plan = Remove(postfix, Listening(kInQueue), record);
  EXPECT_EQ(postfix.settings.Explicit("smtp_tls_loglevel"), "2");
  EXPECT_EQ(postfix.settings.Explicit("smtp_dns_support_level"), std::nullopt);
  EXPECT_EQ(postfix.settings.Explicit("smtp_tls_security_level"), std::nullopt);
  ASSERT_EQ(plan.left.size(), 1u);
  EXPECT_TRUE(Has(plan.left, "smtp_tls_loglevel was changed since"));
}

TEST(PlanRemoval, OfAListThatHasChangedOnlyOurEntryGoes) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set(kMaps, kPeer);
  const auto record = Wire(postfix, Listening(kInQueue));
  ASSERT_EQ(postfix.settings.Explicit(kMaps), kOurs);
  postfix.Set(kMaps, std::string("hash:/mine, ") + kOurs);
  Remove(postfix, Listening(kInQueue), record);
  EXPECT_EQ(postfix.settings.Explicit(kMaps), "hash:/mine");
}

TEST(PlanRemoval, AnotherDaemonComesBackToAListAsWeLeftIt) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set(kMaps, std::string("hash:/a ") + kPeer);
  const auto record = Wire(postfix, Listening(kInQueue));
  Remove(postfix, Listening(kInQueue), record);
  EXPECT_EQ(postfix.settings.Explicit(kMaps), std::string("hash:/a ") + kPeer);
}

TEST(PlanRemoval, WhoAskedUsByHandBeforeAsksNoMore) {
  PostfixFixture postfix = Ready("3.10.4");
  postfix.Set(kMaps, std::string("hash:/a, ") + kOurs);  // the older dialect
  const auto record = Wire(postfix, Listening(kInQueue));
  Remove(postfix, Listening(kInQueue), record);
  EXPECT_EQ(postfix.settings.Explicit(kMaps), "hash:/a");
}

TEST(PlanRemoval, ASecondSetupKeepsWhatWasThereBeforeTheFirst) {
  PostfixFixture postfix = Ready("3.9.0");
  postfix.Set(kMaps, kPeer);
  auto record = Wire(postfix, Listening(kInQueue));
  PostfixFixture newer = Ready("3.10.4");  // Postfix was upgraded
  newer.Set(kMaps, *postfix.settings.Explicit(kMaps));
  record = Wire(newer, Listening(kInQueue), record);
  EXPECT_EQ(newer.settings.Explicit(kMaps), std::string(kOurs) + "-tlsrpt");
  Remove(newer, Listening(kInQueue), record);
  EXPECT_EQ(newer.settings.Explicit(kMaps), kPeer);
}

TEST(PlanRemoval, ASecondSetupKeepsWhatTheAdministratorHasAddedSince) {
  PostfixFixture postfix = Ready("3.9.0");
  postfix.Set(kMaps, "hash:/a");
  auto record = Wire(postfix, Listening(kInQueue));
  PostfixFixture newer = Ready("3.10.4");
  newer.Set(kMaps, *postfix.settings.Explicit(kMaps) + " hash:/added");
  record = Wire(newer, Listening(kInQueue), record);
  Remove(newer, Listening(kInQueue), record);
  EXPECT_EQ(newer.settings.Explicit(kMaps), "hash:/a, hash:/added");
}

// --- Without a record

TEST(PlanRemoval, WithoutARecordOnlyWhatIsOursGoes) {
  for (const char* version : {"3.7.11", "3.10.4"}) {
    PostfixFixture postfix = Fresh(version);
    postfix.Set(kMaps, "hash:/a");
    Wire(postfix, Everything());
    const auto plan = Remove(postfix, Everything(), {});
    EXPECT_EQ(postfix.settings.Explicit(kMaps), "hash:/a");
    for (const char* gone :
         {"smtpd_milters", "smtp_tlsrpt_enable", "smtp_tlsrpt_socket_name",
          "sender_dependent_default_transport_maps"})
      EXPECT_EQ(postfix.settings.Explicit(gone), std::nullopt) << gone;
    EXPECT_EQ(postfix.settings.Service(kReportService), nullptr);
    EXPECT_EQ(postfix.settings.Explicit("smtp_tls_security_level"), "may");
    EXPECT_TRUE(Has(plan.left, "there is no record of an earlier setup"));
  }
}

TEST(PlanRemoval, AnotherCollectorOfOutcomesStays) {
  PostfixFixture postfix = Ready("3.10.4");
  postfix.Set("smtp_tlsrpt_enable", "yes");
  postfix.Set("smtp_tlsrpt_socket_name", "run/tlsrpt/collectd.sock");
  Remove(postfix, Everything(), {});
  EXPECT_EQ(postfix.settings.Explicit("smtp_tlsrpt_enable"), "yes");
}

TEST(PlanRemoval, WarnsOfWhatWouldStillAskUs) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.AddService(std::string("bulk unix - - y - - smtp "
                                 "-o smtp_tls_policy_maps=") +
                     kOurs);
  EXPECT_TRUE(Has(Remove(postfix, Listening(kInQueue), {}).warnings,
                  "bulk/unix still asks postern-policy"));
  postfix.settings.explicit_values[kMaps] = "$mine";
  postfix.settings.effective[kMaps] = kOurs;
  EXPECT_TRUE(Has(Remove(postfix, Listening(kInQueue), {}).warnings,
                  "by way of another parameter"));
}

}  // namespace
}  // namespace postern
