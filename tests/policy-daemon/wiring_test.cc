#include "policy-daemon/wiring.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "policy-daemon/our_entries.h"
#include "tests/support/postfix_fixture.h"

namespace postern {
namespace {

using Strings = std::vector<std::string>;

bool Has(const Strings& list, const std::string& part) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& text) {
    return text.find(part) != std::string::npos;
  });
}

WiringPlan Plan(const PostfixFixture& postfix,
                const Options& options = Listening(kInQueue)) {
  return PlanWiring(postfix.settings, options, {});
}

// "name = value" of what would be set; "name goes out"; lines of master.cf.
Strings Lines(const WiringPlan& plan) {
  Strings lines;
  for (const Change& change : plan.changes) {
    if (!change.after)
      lines.push_back(change.name + " goes out");
    else
      lines.push_back(change.file == Change::File::kMainCf
                          ? change.name + " = " + *change.after
                          : *change.after);
  }
  return lines;
}

// What would be set; "(as it is)" where nothing would.
std::string Planned(const WiringPlan& plan, const std::string& name) {
  for (const Change& change : plan.changes)
    if (change.name == name) return change.after.value_or("(goes out)");
  return "(as it is)";
}

std::string WhyOf(const WiringPlan& plan, const std::string& name) {
  for (const Change& change : plan.changes)
    if (change.name == name) return change.why;
  return "";
}

TEST(PlanWiring, HasNothingToDoAtAReadyPostfix) {
  const auto plan = Plan(Ready());
  EXPECT_EQ(plan.warnings, (Strings{}));
  EXPECT_EQ(Lines(plan), (Strings{}));
}

TEST(PlanWiring, TellsAllOfAFreshDebian12) {
  const auto plan = Plan(Fresh("3.7.11"));
  EXPECT_EQ(plan.warnings, (Strings{}));
  EXPECT_EQ(
      Lines(plan),
      (Strings{
          "smtp_tls_security_level = may", "smtp_dns_support_level = dnssec",
          "smtp_tls_dane_insecure_mx_policy = dane", "smtp_tls_loglevel = 1",
          "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt",
          "smtp_tls_policy_maps = "
          "socketmap:unix:postern/policy.sock:policy"}));
  for (const Change& change : plan.changes) {
    EXPECT_EQ(change.before, std::nullopt) << change.name;
    EXPECT_NE(change.why, "") << change.name;
  }
}

TEST(PlanWiring, TellsAllOfAFreshDebian13) {
  const auto plan = Plan(Fresh("3.10.4"),
                         Receiving("/var/spool/postfix/postern/tlsrpt.sock"));
  EXPECT_EQ(Lines(plan),
            (Strings{"smtp_tls_security_level = may",
                     "smtp_dns_support_level = dnssec", "smtp_tls_loglevel = 1",
                     "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt",
                     "smtp_tls_policy_maps = "
                     "socketmap:unix:postern/policy.sock:policy-tlsrpt",
                     "smtp_tlsrpt_enable = yes",
                     "smtp_tlsrpt_socket_name = postern/tlsrpt.sock"}));
}

// What it planned, as its own Postfix.
TEST(PlanWiring, HasNothingToDoTheSecondTime) {
  for (const char* version : {"3.7.11", "3.10.4"}) {
    Options options = Receiving("/var/spool/postfix/postern/tlsrpt.sock");
    options.milter.listen =
        *ListenAddress::Parse("unix:/var/spool/postfix/postern/milter.sock");
    options.report.sender_address = "tls-reports@example.org";
    PostfixFixture postfix = Fresh(version);
    postfix.Set("smtp_tls_connection_reuse", "yes");
    const auto plan = Plan(postfix, options);
    EXPECT_GT(plan.changes.size(), 6u);
    for (const Change& change : plan.changes) postfix.Make(change);
    EXPECT_EQ(Lines(Plan(postfix, options)), (Strings{})) << version;
  }
}

TEST(PlanWiring, AsksWhoReports) {
  PostfixFixture postfix = Ready();
  EXPECT_TRUE(Has(Plan(postfix).notes, "contact_info = tlsrpt@your domain"));
  postfix.Set("mydomain", "example.org");
  EXPECT_TRUE(Has(Plan(postfix).notes, "contact_info = tlsrpt@example.org"));
  Options options = Listening(kInQueue);
  options.report.contact_info = "tls@example.org";
  EXPECT_FALSE(Has(Plan(postfix, options).notes, "contact_info"));
}

// --- smtp_tls_policy_maps

constexpr char kMaps[] = "smtp_tls_policy_maps";
constexpr char kOurs[] = "socketmap:unix:postern/policy.sock:policy";
constexpr char kOursTlsrpt[] =
    "socketmap:unix:postern/policy.sock:policy-tlsrpt";

TEST(PlanWiring, ChoosesTheDialectByVersion) {
  for (const char* version : {"3.4.0", "3.7.11", "3.9.9", "3.9-20240101"})
    EXPECT_EQ(Planned(Plan(Fresh(version)), kMaps), kOurs) << version;
  for (const char* version : {"3.10.0", "3.10.13", "3.10-20250101", "3.11.1",
                              "3.12-20260821", "4.0.0"})
    EXPECT_EQ(Planned(Plan(Fresh(version)), kMaps), kOursTlsrpt) << version;
}

TEST(PlanWiring, NamesTheSocketAsPostfixSeesIt) {
  PostfixFixture outside = Fresh("3.7.11");
  outside.Chroot("n");
  const auto map = [&](const char* listen) {
    return Planned(Plan(outside, Listening(listen)), kMaps);
  };
  EXPECT_EQ(map(kInQueue), kOurs);
  EXPECT_EQ(map("inet:127.0.0.1:8461"), "socketmap:inet:127.0.0.1:8461:policy");
  EXPECT_EQ(map("inet:0.0.0.0:8461"), "socketmap:inet:127.0.0.1:8461:policy");
  EXPECT_EQ(map("inet:[::]:8461"), "socketmap:inet:127.0.0.1:8461:policy");
  outside.settings.effective["inet_protocols"] = "ipv6";
  EXPECT_EQ(map("inet:[::]:8461"), "socketmap:inet:[::1]:8461:policy");
  EXPECT_EQ(map("unix:/run/postern/policy.sock"),
            "socketmap:unix:/run/postern/policy.sock:policy");
  EXPECT_EQ(map("unix:/var/spool/postfixes/p"),
            "socketmap:unix:/var/spool/postfixes/p:policy")
      << "another folder that begins alike";
}

TEST(PlanWiring, TakesTheSocketOfThisInstance) {
  PostfixFixture out = Fresh("3.7.11");
  out.settings.effective["queue_directory"] = "/var/spool/postfix-out";
  Options options = Listening(kInQueue);
  options.policy.listen.push_back(
      *ListenAddress::Parse("unix:/var/spool/postfix-out/postern/p.sock"));
  const auto plan = Plan(out, options);
  EXPECT_EQ(Planned(plan, kMaps), "socketmap:unix:postern/p.sock:policy");
  EXPECT_EQ(plan.warnings, (Strings{}));
}

// By version 3.7, whose dialect is `policy`.
struct MapsCase {
  const char* before;
  const char* after;
};

TEST(PlanWiring, EditsAListWithoutTouchingTheRestOfIt) {
  const MapsCase cases[] = {
      // Others come first: where they fail, the search ends.
      {"hash:/etc/postfix/tls", "hash:/etc/postfix/tls, %"},
      {"hash:/a,pcre:/b  regexp:/c", "hash:/a,pcre:/b  regexp:/c, %"},
      {"inline:{a.test=may, b.test=encrypt}",
       "inline:{a.test=may, b.test=encrypt}, %"},
      {"pcre:{{/a socketmap:unix:x:QUERY/ may}}",
       "pcre:{{/a socketmap:unix:x:QUERY/ may}}, %"},
      {"$my_tables", "$my_tables, %"},
      {"", "%"},
      // Ours, in the other dialect or in another way.
      {"socketmap:unix:postern/policy.sock:policy-tlsrpt", "%"},
      {"hash:/a socketmap:unix:postern/policy.sock:QUERYwithTLSRPT, hash:/b",
       "hash:/a %, hash:/b"},
      {"socketmap:unix:postern/policy.sock:policy, hash:/a, "
       "socketmap:unix:postern/policy.sock:policy",
       "%, hash:/a"},
      // Ours, and not to be reached from the chroot.
      {"socketmap:unix:/var/spool/postfix/postern/policy.sock:policy", "%"},
      // Another MTA-STS daemon.
      {"socketmap:inet:127.0.0.1:8461:postfix", "%"},
      {"hash:/a,socketmap:inet:127.0.0.1:8642:QUERY,hash:/b",
       "hash:/a,%,hash:/b"},
      {"socketmap:unix:/run/tlspol.sock:QUERYwithTLSRPT", "%"},
      {"proxy:socketmap:inet:127.0.0.1:8461:postfix", "%"},
      {"socketmap:inet:127.0.0.1:8461:postfix, "
       "socketmap:unix:postern/policy.sock:policy",
       "%"},
      // A socketmap of the administrator's own.
      {"socketmap:unix:/run/mine.sock:tls",
       "socketmap:unix:/run/mine.sock:tls, %"},
      // Asks us already.
      {"hash:/a, socketmap:unix:postern/policy.sock:policy", "(as it is)"},
      {"socketmap:unix:postern/policy.sock:QUERY", "(as it is)"},
      {"socketmap:unix:postern/policy.sock:postfix", "(as it is)"},
      {"socketmap:unix:/postern/policy.sock:policy", "(as it is)"},
      {"proxy:socketmap:unix:postern/policy.sock:policy", "(as it is)"},
  };
  for (const auto& [before, after] : cases) {
    PostfixFixture postfix = Ready("3.7.11");
    postfix.Set(kMaps, before);
    std::string wanted = after;
    if (const size_t at = wanted.find('%'); at != std::string::npos)
      wanted.replace(at, 1, kOurs);
    EXPECT_EQ(Planned(Plan(postfix), kMaps), wanted) << before;
  }
}

TEST(PlanWiring, SaysWhichDaemonItReplaces) {
  PostfixFixture postfix = Ready();
  postfix.Set(kMaps, "hash:/a, socketmap:inet:127.0.0.1:8461:postfix");
  EXPECT_NE(WhyOf(Plan(postfix), kMaps)
                .find("in the place of socketmap:inet:127.0.0.1:8461:postfix"),
            std::string::npos);
}

TEST(PlanWiring, ReplacesWhatItWroteForASocketThatHasMoved) {
  PostfixFixture postfix = Ready("3.7.11");
  const std::string old = "socketmap:unix:elsewhere/p.sock:policy";
  postfix.Set(kMaps, old + ", hash:/a");
  const auto plan = PlanWiring(postfix.settings, Listening(kInQueue), {old});
  EXPECT_EQ(Planned(plan, kMaps), std::string(kOurs) + ", hash:/a");
}

TEST(PlanWiring, LeavesAListAloneThatNamesUsByAnotherParameter) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.settings.explicit_values[kMaps] = "$mine";
  postfix.settings.effective[kMaps] = kOurs;
  EXPECT_EQ(Lines(Plan(postfix)), (Strings{}));
  postfix.settings.effective[kMaps] = kOursTlsrpt;
  const auto plan = Plan(postfix);
  EXPECT_EQ(Lines(plan), (Strings{}));
  EXPECT_TRUE(Has(plan.warnings,
                  "by way of another parameter; write " + std::string(kOurs)));
}

TEST(PlanWiring, WarnsOfAnotherDaemonBehindAnotherParameter) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.settings.explicit_values[kMaps] = "$mine";
  postfix.settings.effective[kMaps] = "socketmap:inet:127.0.0.1:8461:postfix";
  EXPECT_TRUE(Has(Plan(postfix).warnings, "another MTA-STS daemon by way of"));
}

TEST(PlanWiring, WarnsOfProxy) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set(kMaps, std::string("proxy:") + kOurs);
  EXPECT_TRUE(Has(Plan(postfix).warnings, "take proxy: out"));
}

// --- Levels, DNS, authorities

TEST(PlanWiring, NeedsASecurityLevel) {
  for (const char* level : {"", "none"}) {
    PostfixFixture postfix = Ready();
    postfix.Set("smtp_tls_security_level", level);
    EXPECT_EQ(Lines(Plan(postfix)), (Strings{"smtp_tls_security_level = may"}));
  }
  PostfixFixture dane = Ready();
  dane.Set("smtp_tls_security_level", "dane");
  EXPECT_EQ(Lines(Plan(dane)), (Strings{}));
}

TEST(PlanWiring, LowersNoLevelThatIsGivenInOldWords) {
  PostfixFixture postfix = Ready();
  postfix.Set("smtp_tls_security_level", "");
  postfix.Set("smtp_enforce_tls", "yes");
  const auto plan = Plan(postfix);
  EXPECT_EQ(Lines(plan), (Strings{}));
  EXPECT_TRUE(Has(plan.warnings, "smtp_enforce_tls = yes is an old word"));
}

// Postfix ignores smtp_tls_per_site once there are policy maps.
TEST(PlanWiring, ChangesNothingWhereATableOfOldWouldBeIgnored) {
  PostfixFixture postfix = Fresh("3.7.11");
  postfix.Set("smtp_tls_per_site", "hash:/etc/postfix/tls_per_site");
  const auto plan = Plan(postfix);
  EXPECT_EQ(Lines(plan), (Strings{}));
  EXPECT_TRUE(Has(plan.warnings, "smtp_tls_per_site"));
}

TEST(PlanWiring, WarnsWhereAnAnswerCouldLowerTheSitesLevel) {
  PostfixFixture postfix = Ready();
  postfix.Set("smtp_tls_security_level", "encrypt");
  Options options = Listening(kInQueue);
  EXPECT_TRUE(
      Has(Plan(postfix, options).warnings, "set policy.site_level = encrypt"));
  options.policy.site_level = SiteLevel::kEncrypt;
  EXPECT_EQ(Plan(postfix, options).warnings, (Strings{}));
}

TEST(PlanWiring, NeedsDnssecForDane) {
  Options without_dane = Listening(kInQueue);
  without_dane.dane.enabled = false;
  for (const char* level : {"", "enabled", "disabled"}) {
    PostfixFixture postfix = Ready();
    postfix.Set("smtp_dns_support_level", level);
    EXPECT_EQ(Lines(Plan(postfix)),
              (Strings{"smtp_dns_support_level = dnssec"}));
    EXPECT_EQ(Lines(Plan(postfix, without_dane)), (Strings{}));
  }
}

TEST(PlanWiring, HasAnOlderPostfixLookAtTlsaBehindUnsignedMx) {
  constexpr char kName[] = "smtp_tls_dane_insecure_mx_policy";
  PostfixFixture postfix = Ready("3.7.11");
  EXPECT_EQ(Planned(Plan(postfix), kName), "(as it is)");
  postfix.Set(kName, "may");
  EXPECT_EQ(Planned(Plan(postfix), kName), "dane");
}

TEST(PlanWiring, NeedsAuthoritiesThatSmtpCanRead) {
  const Strings file = {"smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt"};
  PostfixFixture postfix = Ready();
  postfix.Set("smtp_tls_CAfile", "");
  EXPECT_EQ(Lines(Plan(postfix)), file);
  postfix.Set("smtp_tls_CApath", "/etc/ssl/certs");
  EXPECT_EQ(Lines(Plan(postfix)), file) << "read inside the chroot";
  postfix.Chroot("n");
  EXPECT_EQ(Lines(Plan(postfix)), (Strings{}));
}

TEST(PlanWiring, NamesNoAuthoritiesThatAreNotThere) {
  PostfixFixture postfix = Ready();
  postfix.Set("smtp_tls_CAfile", "");
  postfix.settings.system_ca_file.clear();
  const auto plan = Plan(postfix);
  EXPECT_EQ(Lines(plan), (Strings{}));
  EXPECT_TRUE(Has(plan.warnings, "install ca-certificates"));
}

TEST(PlanWiring, NeverLowersTheLogLevel) {
  PostfixFixture postfix = Ready();
  for (const char* level : {"", "0"}) {
    postfix.Set("smtp_tls_loglevel", level);
    EXPECT_EQ(Lines(Plan(postfix)), (Strings{"smtp_tls_loglevel = 1"}));
  }
  postfix.Set("smtp_tls_loglevel", "2");
  EXPECT_EQ(Lines(Plan(postfix)), (Strings{}));
}

// --- What it only warns of

TEST(PlanWiring, ChangesNothingAtAPostfixThatIsTooOld) {
  for (const char* version : {"3.3.8", "2.11.0"}) {
    const auto plan = Plan(Fresh(version));
    EXPECT_TRUE(
        Has(plan.warnings, std::string("Postfix ") + version + " is too old"));
    EXPECT_EQ(Lines(plan), (Strings{}));
  }
}

TEST(PlanWiring, WarnsOfASocketOutsideTheChroot) {
  EXPECT_TRUE(
      Has(Plan(Fresh("3.7.11"), Listening("unix:/run/postern/policy.sock"))
              .warnings,
          "cannot reach /run/postern/policy.sock"));
  EXPECT_EQ(Plan(Fresh("3.7.11"), Listening("inet:127.0.0.1:8461")).warnings,
            (Strings{}));
}

TEST(PlanWiring, EachServiceThatSendsHasToReachTheSocket) {
  PostfixFixture postfix = Fresh("3.7.11");
  postfix.Chroot("n");
  postfix.AddService("bulk unix - - y - - smtp");
  EXPECT_TRUE(Has(Plan(postfix, Listening("unix:/run/p.sock")).warnings,
                  "cannot reach /run/p.sock"));
  postfix.Set(kMaps, "socketmap:unix:/postern/policy.sock:policy");
  EXPECT_EQ(Planned(Plan(postfix), kMaps), kOurs)
      << "which is there in the chroot alone";
  postfix.Set(kMaps,
              "socketmap:unix:/var/spool/postfix/postern/policy.sock:policy");
  EXPECT_EQ(Planned(Plan(postfix), kMaps), kOurs) << "and that outside alone";
}

TEST(PlanWiring, NamesNoSocketThatMainCfWouldMisread) {
  const auto plan =
      Plan(Fresh("3.7.11"), Listening("unix:/var/spool/postfix/$x, y/p.sock"));
  EXPECT_TRUE(Has(plan.warnings, "characters that main.cf takes"));
  EXPECT_EQ(Planned(plan, kMaps), "(as it is)");
}

TEST(PlanWiring, WarnsOfServicesWithTablesOfTheirOwn) {
  PostfixFixture postfix = Ready();
  postfix.AddService("relay unix - - y - - smtp",
                     "smtp_tls_policy_maps = hash:/a");
  EXPECT_TRUE(Has(Plan(postfix).warnings, "relay/unix has a"));
}

TEST(PlanWiring, NotesARelayhost) {
  PostfixFixture postfix = Ready();
  postfix.Set("relayhost", "[smart.example.org]");
  EXPECT_TRUE(Has(Plan(postfix).notes, "relayhost is [smart.example.org]"));
}

// --- How Postfix tells of its sessions

TEST(PlanWiring, FromPostfix310OnItTellsByTheSocket) {
  const auto options = Receiving("/var/spool/postfix/postern/tlsrpt.sock");
  EXPECT_EQ(Lines(Plan(Ready("3.10.1"), options)),
            (Strings{"smtp_tlsrpt_enable = yes",
                     "smtp_tlsrpt_socket_name = postern/tlsrpt.sock"}));
  const auto older = Plan(Ready("3.7.11"), options);
  EXPECT_EQ(Lines(older), (Strings{}));
  EXPECT_TRUE(Has(older.notes, "set tlsrpt.maillog"));
}

TEST(PlanWiring, TheLogIsForAnOlderPostfix) {
  EXPECT_FALSE(Has(Plan(Ready("3.7.11"), ReadingLog()).notes, "maillog"));
  EXPECT_TRUE(Has(Plan(Ready("3.10.1"), ReadingLog()).warnings,
                  "take tlsrpt.maillog out"));
}

TEST(PlanWiring, ASocketOfAllAddressesIsKnownInAMap) {
  for (const char* map : {"socketmap:inet:127.0.0.1:8461:policy",
                          "socketmap:inet:[::1]:8461:policy",
                          "socketmap:inet:0.0.0.0:8461:policy"}) {
    PostfixFixture postfix = Ready("3.7.11");
    postfix.Chroot("n");
    postfix.Set(kMaps, map);
    EXPECT_EQ(Planned(Plan(postfix, Listening("inet:[::]:8461")), kMaps),
              "(as it is)")
        << map;
  }
}

TEST(PlanWiring, TheLogNeedsToKnowWhoAsks) {
  Options options = ReadingLog();
  options.policy.listen = {*ListenAddress::Parse("inet:127.0.0.1:8461")};
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set(kMaps, "socketmap:inet:127.0.0.1:8461:policy");
  EXPECT_TRUE(Has(Plan(postfix, options).warnings, "which process asks"));
  EXPECT_EQ(Plan(Ready("3.7.11"), ReadingLog()).warnings, (Strings{}));
}

// --- The milter

TEST(PlanWiring, AppendsTheMilterSoThatMailGoesOnWithoutIt) {
  Options options = Listening(kInQueue);
  options.milter.listen =
      *ListenAddress::Parse("unix:/var/spool/postfix/postern/milter.sock");
  PostfixFixture postfix = Ready();
  const std::string ours =
      "{ unix:postern/milter.sock, default_action=accept, "
      "connect_timeout=2s, command_timeout=2s }";
  EXPECT_EQ(Planned(Plan(postfix, options), "smtpd_milters"), ours);
  postfix.Set("smtpd_milters", "{ inet:127.0.0.1:8891, a=b } unix:x");
  EXPECT_EQ(Planned(Plan(postfix, options), "smtpd_milters"),
            "{ inet:127.0.0.1:8891, a=b } unix:x, " + ours);
  postfix.Set("smtpd_milters", "unix:postern/milter.sock");
  EXPECT_EQ(Planned(Plan(postfix, options), "smtpd_milters"), "(as it is)");
}

TEST(PlanWiring, ReplacesTheMilterThatHasMoved) {
  Options options = Listening(kInQueue);
  PostfixFixture postfix = Ready();
  const std::string old = "{ unix:old/milter.sock, default_action=accept }";
  postfix.Set("smtpd_milters", old + ", unix:x");
  EXPECT_TRUE(Has(PlanWiring(postfix.settings, options, {old}).notes,
                  "milter.listen is unset"));
  options.milter.listen =
      *ListenAddress::Parse("unix:/var/spool/postfix/new/milter.sock");
  EXPECT_EQ(
      Planned(PlanWiring(postfix.settings, options, {old}), "smtpd_milters"),
      "{ unix:new/milter.sock, default_action=accept, connect_timeout=2s, "
      "command_timeout=2s }, unix:x");
}

// --- master.cf

TEST(PlanWiring, ReusedConnectionsNeedTlsproxy) {
  PostfixFixture postfix = Ready();
  postfix.Set("smtp_tls_connection_reuse", "yes");
  EXPECT_EQ(Lines(Plan(postfix)),
            (Strings{"tlsproxy unix - - y - 0 tlsproxy"}));
  postfix.Chroot("n");
  EXPECT_EQ(Lines(Plan(postfix)),
            (Strings{"tlsproxy unix - - n - 0 tlsproxy"}));
  postfix.AddService("tlsproxy unix - - y - 0 tlsproxy");
  EXPECT_EQ(Lines(Plan(postfix)), (Strings{}));
}

TEST(PlanWiring, ReusedConnectionsOfOneServiceNeedItToo) {
  PostfixFixture postfix = Ready();
  postfix.AddService("bulk unix - - y - - smtp",
                     "smtp_tls_connection_reuse = yes");
  EXPECT_EQ(Lines(Plan(postfix)),
            (Strings{"tlsproxy unix - - y - 0 tlsproxy"}));
}

constexpr char kTransports[] = "sender_dependent_default_transport_maps";
const char* const kTransport =
    "postern-reports unix - - y - - smtp "
    "-o smtp_tls_security_level=may -o smtp_tls_policy_maps=";

Options ReportingAs(const std::string& sender) {
  Options options = Listening(kInQueue);
  options.report.sender_address = sender;
  return options;
}

TEST(PlanWiring, ReportsOfAnOlderPostfixGoOutByATransportOfTheirOwn) {
  const auto options = ReportingAs("TLS-Reports@example.org");
  EXPECT_EQ(Lines(Plan(Ready("3.9.1"), options)),
            (Strings{kTransport,
                     "sender_dependent_default_transport_maps = "
                     "inline:{tls-reports@example.org=postern-reports:}"}));
  EXPECT_EQ(Lines(Plan(Ready("3.10.0"), options)), (Strings{}))
      << "such mail says TLS-Required: no";
}

TEST(PlanWiring, TheirTransportComesFirst) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.AddService(kTransport);
  postfix.Set(kTransports, "hash:/a");
  EXPECT_EQ(Planned(Plan(postfix, ReportingAs("r@example.org")), kTransports),
            "inline:{r@example.org=postern-reports:}, hash:/a");
}

TEST(PlanWiring, TheirSenderMayChange) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.AddService(kTransport);
  const std::string old = "inline:{old@example.org=postern-reports:}";
  postfix.Set(kTransports, old + ", hash:/a");
  const auto plan =
      PlanWiring(postfix.settings, ReportingAs("r@example.org"), {old});
  EXPECT_EQ(Lines(plan),
            (Strings{"sender_dependent_default_transport_maps = "
                     "inline:{r@example.org=postern-reports:}, hash:/a"}));
}

TEST(PlanWiring, ATableThatSomebodyHasAddedToStays) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.AddService(kTransport);
  const std::string table =
      "inline:{old@example.org=postern-reports:, b@example.org=relay:}";
  postfix.Set(kTransports, table);
  EXPECT_EQ(Planned(Plan(postfix, ReportingAs("r@example.org")), kTransports),
            "inline:{r@example.org=postern-reports:}, " + table);
}

TEST(PlanWiring, ExemptsNoAddressThatSendsOtherMail) {
  for (const char* sender : {"", "postmaster@example.org"}) {
    const auto plan = Plan(Ready("3.7.11"), ReportingAs(sender));
    EXPECT_EQ(Lines(plan), (Strings{}));
    EXPECT_TRUE(Has(plan.notes, "set report.sender_address to an address"));
  }
}

TEST(PlanWiring, NamesNoSenderThatMainCfWouldMisread) {
  for (const char* sender :
       {"a=b@example.org", "$x@example.org", "a{b@example.org"}) {
    const auto plan = Plan(Ready("3.7.11"), ReportingAs(sender));
    EXPECT_EQ(Lines(plan), (Strings{})) << sender;
    EXPECT_TRUE(Has(plan.notes, "main.cf cannot name")) << sender;
  }
}

}  // namespace
}  // namespace postern
