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

Status Answers(const std::string&) { return Done{}; }
Status IsDead(const std::string&) { return Error{"nobody listens"}; }

RemovalPlan Remove(PostfixFixture& postfix, const Options& options,
                   const std::optional<WiringRecord>& record,
                   const AskEntry& ask = Answers) {
  auto plan = PlanRemoval(postfix.settings, options, record, ask);
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
    postfix.Set("smtp_tls_security_level", "may");
    postfix.Set("smtp_tls_loglevel", "0");
    postfix.Set(kMaps, "");
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
    EXPECT_TRUE(PlanRemoval(postfix.settings, Everything(), record, Answers)
                    .changes.empty())
        << "the second time";
  }
}

TEST(PlanRemoval, FindsNothingAtAPostfixThatWasNeverWired) {
  PostfixFixture postfix = Fresh("3.7.11");
  const auto plan = PlanRemoval(postfix.settings, Everything(), {}, Answers);
  EXPECT_TRUE(plan.changes.empty());
  EXPECT_EQ(plan.left, (Strings{}));
}

TEST(PlanRemoval, AKillBeforeTheChangesLeavesNothingToUndo) {
  PostfixFixture postfix = Fresh("3.7.11");
  postfix.Set("smtp_tls_loglevel", "0");
  postfix.Set(kMaps, "hash:/a");
  PostfixFixture other = postfix;
  const auto record = Wire(other, Everything());
  const auto plan =
      PlanRemoval(postfix.settings, Everything(), record, Answers);
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
  EXPECT_EQ(postfix.settings.Explicit("smtp_tls_CAfile"), std::nullopt);
  ASSERT_EQ(plan.left.size(), 2u);
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

TEST(PlanRemoval, AnotherDaemonComesBackToAListAsWeLeftItIfItAnswers) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set(kMaps, std::string("hash:/a ") + kPeer);
  const auto record = Wire(postfix, Listening(kInQueue));
  PostfixFixture other = postfix;
  Strings asked;
  Remove(postfix, Listening(kInQueue), record, [&](const std::string& entry) {
    asked.push_back(entry);
    return Status(Done{});
  });
  EXPECT_EQ(postfix.settings.Explicit(kMaps), std::string("hash:/a ") + kPeer);
  EXPECT_EQ(asked, (Strings{kPeer}));

  const auto plan = Remove(other, Listening(kInQueue), record, IsDead);
  EXPECT_EQ(other.settings.Explicit(kMaps), "hash:/a");
  EXPECT_EQ(plan.left, (Strings{std::string(kPeer) +
                                " does not come back: nobody listens"}));
}

TEST(PlanRemoval, OfADeadDaemonAloneNothingIsLeft) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set(kMaps, kPeer);
  const auto record = Wire(postfix, Listening(kInQueue));
  Remove(postfix, Listening(kInQueue), record, IsDead);
  EXPECT_EQ(postfix.settings.Explicit(kMaps), std::nullopt);
}

// Ours of old, by a name that the configuration no longer has.
TEST(PlanRemoval, OurOwnNeverComesBack) {
  PostfixFixture postfix = Ready("3.10.4");
  postfix.Set(kMaps, kOurs);  // by hand, in the older dialect
  const auto record = Wire(postfix, Listening(kInQueue));
  Remove(postfix, Listening("unix:/run/moved.sock"), record);
  EXPECT_EQ(postfix.settings.Explicit(kMaps), std::nullopt);
}

TEST(PlanRemoval, MailDoesNotGoBackToClearText) {
  for (const char* before : {"", "none"}) {
    PostfixFixture postfix = Ready("3.7.11");
    postfix.Set("smtp_tls_security_level", before);
    if (*before == '\0') postfix.Unset("smtp_tls_security_level");
    const auto record = Wire(postfix, Listening(kInQueue));
    const auto plan = Remove(postfix, Listening(kInQueue), record);
    EXPECT_EQ(postfix.settings.Explicit("smtp_tls_security_level"), "may");
    EXPECT_EQ(plan.left,
              (Strings{"smtp_tls_security_level = may stays: without it mail "
                       "goes out in clear text"}));
  }
}

struct NeedCase {
  const char* name;  // set once it is wired
  const char* value;
  const char* service_override;
  std::vector<std::string> left;
};

TEST(PlanRemoval, WhatIsNeededByOthersStays) {
  constexpr char kDns[] = "smtp_dns_support_level = dnssec stays: ";
  const std::string ca =
      "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt stays: ";
  const std::string proxy = "tlsproxy/unix stays: ";
  const auto both = [&](const std::string& user) {
    return Strings{kDns + user + " needs it", ca + user + " needs it"};
  };
  const NeedCase cases[] = {
      {"smtp_tls_connection_reuse", "no", "", {}},
      {"smtp_tls_security_level", "encrypt", "", {}},
      {"smtp_tls_security_level", "dane", "",
       both("smtp_tls_security_level = dane")},
      {"smtp_tls_security_level", "dane-only", "",
       both("smtp_tls_security_level = dane-only")},
      {"smtp_tls_security_level",
       "secure",
       "",
       {ca + "smtp_tls_security_level = secure needs it"}},
      {"smtp_tls_security_level",
       "may",
       "smtp_tls_security_level = verify",
       {ca + "bulk/unix with smtp_tls_security_level = verify needs it"}},
      {kMaps, "hash:/a, socketmap:unix:postern/policy.sock:policy", "",
       both("smtp_tls_policy_maps = hash:/a")},
      {"smtp_tls_security_level", "may", "smtp_tls_policy_maps = hash:/a",
       both("bulk/unix with smtp_tls_policy_maps = hash:/a")},
      {"smtp_tls_security_level",
       "may",
       "smtp_tls_connection_reuse = yes",
       {proxy + "bulk/unix with smtp_tls_connection_reuse = yes needs it"}},
      {"smtp_tls_connection_reuse",
       "yes",
       "",
       {proxy + "smtp_tls_connection_reuse = yes needs it"}},
  };
  for (const auto& [name, value, service_override, left] : cases) {
    PostfixFixture postfix = Fresh("3.7.11");
    postfix.Set("smtp_tls_security_level", "may");
    postfix.Set("smtp_tls_connection_reuse", "yes");
    const auto record = Wire(postfix, Listening(kInQueue));
    postfix.Set("smtp_tls_connection_reuse", "no");
    postfix.AddService("bulk unix - - y - - smtp", service_override);
    postfix.Set(name, value);
    const auto plan = Remove(postfix, Listening(kInQueue), record);
    EXPECT_EQ(plan.left, left) << name << value << service_override;
  }
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

// It was killed once its record was written.
TEST(PlanRemoval, ASetupThatCameToNothingForgetsNoEarlierEntry) {
  for (const char* version : {"3.7.11", "3.10.4"}) {
    PostfixFixture postfix = Ready(version);
    const auto maps = *postfix.settings.Explicit(kMaps);
    postfix.Unset(kMaps);
    auto record = Wire(postfix, Everything());
    Options moved;
    moved.policy.listen = {*ListenAddress::Parse("unix:/var/spool/postfix/b")};
    moved.tlsrpt.listen = {*ListenAddress::Parse("unix:/var/spool/postfix/t")};
    moved.milter.listen = *ListenAddress::Parse("unix:/var/spool/postfix/m");
    moved.report.sender_address = "other@example.org";
    PostfixFixture changed = postfix;
    record = Wire(changed, moved, record);
    EXPECT_NE(changed.settings.Explicit(kMaps), maps);
    const auto plan = Remove(postfix, moved, record);
    for (const char* gone : {kMaps, "smtpd_milters", "smtp_tlsrpt_socket_name",
                             "sender_dependent_default_transport_maps"})
      EXPECT_EQ(postfix.settings.Explicit(gone), std::nullopt) << gone;
    EXPECT_EQ(plan.left, (Strings{}));
  }
}

TEST(PlanRemoval, ATransportStaysWhileATableNamesIt) {
  constexpr char kTransports[] = "sender_dependent_default_transport_maps";
  PostfixFixture postfix = Ready("3.7.11");
  const auto record = Wire(postfix, Everything());
  const std::string table =
      "inline:{r@example.org=postern-reports:, b@example.org=relay:}";
  postfix.Set(kTransports, table);
  const auto plan = Remove(postfix, Everything(), record);
  EXPECT_EQ(postfix.settings.Explicit(kTransports), table);
  EXPECT_NE(postfix.settings.Service(kReportService), nullptr);
  EXPECT_TRUE(Has(plan.left, "postern-reports/unix stays: "));
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

// --- What asks us

TEST(WhatAsksUs, IsFoundWhereverItStands) {
  const auto places = [](const PostfixFixture& postfix) {
    return WhatAsksUs(postfix.settings, Listening(kInQueue), {});
  };
  for (const std::string& asks :
       {std::string(kOurs), std::string("hash:/a, proxy:") + kOurs,
        "unionmap:{hash:/a, " + std::string(kOurs) + "}",
        std::string(
            "socketmap:unix:/var/spool/postfix/postern/policy.sock:x")}) {
    for (const char* name : {kMaps, "lmtp_tls_policy_maps"}) {
      PostfixFixture postfix = Fresh("3.7.11");
      EXPECT_EQ(places(postfix), (Strings{}));
      postfix.settings.effective[name] = asks;
      EXPECT_TRUE(Has(places(postfix), std::string(name) + " still asks"))
          << asks;
    }
    PostfixFixture postfix = Fresh("3.7.11");
    postfix.AddService("bulk unix - - y - - smtp", "mine = " + asks);
    EXPECT_TRUE(Has(places(postfix), "bulk/unix still asks"));
  }
  PostfixFixture other = Fresh("3.7.11");
  other.Set(kMaps, std::string("hash:/a ") + kPeer);
  EXPECT_EQ(places(other), (Strings{}));
}

// Stopping once too often costs less than all mail that waits.
TEST(WhatAsksUs, AnotherNameOfOurPortCounts) {
  struct Case {
    const char *listens, *map;
    bool counts;
  };
  const std::vector<Case> cases = {
      {"inet:127.0.0.1:8461", "inet:127.0.0.1:8461", true},
      {"inet:0.0.0.0:8461", "inet:192.0.2.1:8461", true},
      {"inet:[::]:8461", "inet:127.0.0.1:8461", true},
      {"inet:[::]:8461", "inet:[2001:db8::1]:8461", true},
      {"inet:192.0.2.1:8461", "inet:mx.example.org:8461", true},
      {"inet:192.0.2.1:8461", "inet::8461", true},
      {"inet:[::1]:8461", "inet:localhost:8461", true},
      {"inet:192.0.2.1:8461", "inet:127.0.0.1:8461", false},
      {"inet:0.0.0.0:8461", "inet:192.0.2.1:461", false},
      {"inet:0.0.0.0:8461", "inet:192.0.2.1:8642", false}};
  for (const auto& [listens, map, counts] : cases) {
    PostfixFixture postfix = Fresh("3.7.11");
    postfix.Set(kMaps, std::string("socketmap:") + map + ":policy");
    EXPECT_EQ(!WhatAsksUs(postfix.settings, Listening(listens), {}).empty(),
              counts)
        << listens << " " << map;
  }
}

TEST(WhatAsksUs, AMilterCountsUnlessMailGoesOnWithoutIt) {
  struct Case {
    const char *milters, *action;
    bool counts;
  };
  const std::vector<Case> cases = {
      {"unix:postern/milter.sock", "tempfail", true},
      {"inet:127.0.0.1:8891, { unix:postern/milter.sock }", "tempfail", true},
      {"{ unix:postern/milter.sock, default_action=reject }", "accept", true},
      {"{ unix:postern/milter.sock, default_action=accept }", "tempfail",
       false},
      {"unix:postern/milter.sock", "accept", false},
      {"inet:127.0.0.1:8891", "tempfail", false}};
  for (const auto& [milters, action, counts] : cases) {
    for (const char* name : {"smtpd_milters", "non_smtpd_milters"}) {
      PostfixFixture postfix = Fresh("3.7.11");
      postfix.Set("milter_default_action", action);
      postfix.Set(name, milters);
      EXPECT_EQ(Has(WhatAsksUs(postfix.settings, Everything(), {}),
                    std::string(name) + " still names"),
                counts)
          << milters;
    }
    PostfixFixture postfix = Fresh("3.7.11");
    postfix.AddService("submission inet n - y - - smtpd",
                       "smtpd_milters = " + std::string(milters));
    postfix.settings.services.back().overrides["milter_default_action"] =
        action;
    EXPECT_EQ(Has(WhatAsksUs(postfix.settings, Everything(), {}),
                  "submission/inet still asks"),
              counts)
        << milters;
  }
}

TEST(WhatAsksUs, AnotherNameOfOurMiltersPortCounts) {
  Options options;
  options.milter.listen = *ListenAddress::Parse("inet:0.0.0.0:8892");
  PostfixFixture postfix = Fresh("3.7.11");
  postfix.Set("smtpd_milters", "inet:mx.example.org:8892");
  EXPECT_TRUE(Has(WhatAsksUs(postfix.settings, options, {}), "smtpd_milters"));
}

TEST(PlanRemoval, WarnsOfWhatWouldStillAskUs) {
  PostfixFixture postfix = Ready("3.7.11");
  EXPECT_EQ(Remove(postfix, Listening(kInQueue), {}).warnings, (Strings{}));
  postfix.settings.explicit_values[kMaps] = "$mine";
  postfix.settings.effective[kMaps] = kOurs;
  EXPECT_TRUE(Has(Remove(postfix, Listening(kInQueue), {}).warnings,
                  "smtp_tls_policy_maps still asks"));
}

}  // namespace
}  // namespace postern
