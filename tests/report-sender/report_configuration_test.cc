#include "report-sender/report_configuration.h"

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

// RFC 8463 appendix A.
constexpr char kPem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";

class ReportConfigurationTest : public testing::Test {
 protected:
  ReportConfigurationTest() {
    options.dns.servers.push_back({*IpAddress::Parse("127.0.0.1"), 53});
    options.spool.directory = "/spool";
  }

  ReportConfigurationPtr Load() {
    auto loaded = LoadReportConfiguration(options, host);
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
    return loaded ? *loaded : std::make_shared<ReportConfiguration>();
  }
  void Refused(const std::string& why) {
    const auto loaded = LoadReportConfiguration(options, host);
    ASSERT_FALSE(loaded) << why;
    EXPECT_EQ(loaded.error().message, why);
  }

  const TemporaryFolder folder;
  Options options;
  Options::Report& report = options.report;
  std::string host = "mx1.example.org";
};

// --- who we are

TEST_F(ReportConfigurationTest, WithoutSettingsWeAreNobody) {
  for (const char* name :
       {"mx1.example.org", "example.co.uk", "localhost", ""}) {
    host = name;
    const auto loaded = Load();
    EXPECT_EQ(loaded->not_sending.find("report.contact_info is not set"), 0u);
    EXPECT_EQ(loaded->identity.submitter.domain, "example.invalid");
  }
  report.contact_info = "tls@example.net";
  EXPECT_EQ(Load()->not_sending, "");
}

TEST_F(ReportConfigurationTest, OnlyADomainOfOnesOwnCanBeOurs) {
  for (const char* bad :
       {"tls@co.uk", "tls@github.io", "tls@mx1.local", "tls@a.localhost",
        "tls@host.localdomain", "tls@mail.internal", "tls@a.home.arpa",
        "tls@example.invalid", "tls@abc.onion"}) {
    report.contact_info = bad;
    const auto loaded = LoadReportConfiguration(options, host);
    EXPECT_FALSE(loaded) << bad;
    report.contact_info = "tls@example.net";
    report.sender_address = bad;
    EXPECT_FALSE(LoadReportConfiguration(options, host)) << bad;
    report.sender_address.clear();
  }
  for (const char* good :
       {"tls@example.co.uk", "tls@mail.test", "tls@example.org"}) {
    report.contact_info = good;
    EXPECT_TRUE(LoadReportConfiguration(options, host)) << good;
  }
}

TEST_F(ReportConfigurationTest, SettingsSayWhoWeAre) {
  report.contact_info = "TLS@Example.NET";
  report.organization_name = "Example Mail";
  report.sender_address = "noreply@bounces.example.net";
  report.instance = "cluster-1";
  const auto loaded = Load();
  const Submitter& who = loaded->identity.submitter;
  EXPECT_EQ(who.contact_info, "TLS@example.net");
  EXPECT_EQ(who.domain, "example.net");
  EXPECT_EQ(who.organization_name, "Example Mail");
  EXPECT_EQ(who.instance, "cluster-1");
  EXPECT_EQ(loaded->identity.sender, "noreply@bounces.example.net");
}

TEST_F(ReportConfigurationTest, TheContactSendsWhereNobodyElseDoes) {
  report.contact_info = "tls@example.net";
  EXPECT_EQ(Load()->identity.sender, "tls@example.net");
}

TEST_F(ReportConfigurationTest, AnAddressHasToBeOne) {
  for (const char* bad :
       {"tls", "tls@", "@example.org", "tls@localhost", "-f@example.org",
        "a b@example.org", "Name <tls@example.org>", "tls@[192.0.2.1]",
        "a@example.org?cc=b", "\x1b@example.org"}) {
    report.contact_info = bad;
    const auto loaded = LoadReportConfiguration(options, host);
    ASSERT_FALSE(loaded) << bad;
    EXPECT_EQ(loaded.error().message.find("report.contact_info cannot be '"),
              0u)
        << loaded.error().message;
    report.contact_info.clear();
    report.sender_address = bad;
    const auto again = LoadReportConfiguration(options, host);
    ASSERT_FALSE(again) << bad;
    EXPECT_EQ(again.error().message.find("report.sender_address cannot be '"),
              0u)
        << again.error().message;
    report.sender_address.clear();
  }
}

// --- keys

TEST_F(ReportConfigurationTest, EveryKeySignsWithItsSelector) {
  report.contact_info = "postmaster@example.org";
  const std::string key = folder.Write("key", kPem);
  report.dkim_keys = {key, key};
  report.dkim_selectors = {"one", "Two"};
  const auto loaded = Load();
  ASSERT_EQ(loaded->signers.size(), 2u);
  EXPECT_EQ(loaded->signers[0].selector, "one");
  EXPECT_EQ(loaded->signers[1].selector, "two");
  EXPECT_EQ(loaded->signers[0].domain, "example.org");
  EXPECT_STREQ(loaded->signers[0].key.algorithm(), "ed25519-sha256");
}

TEST_F(ReportConfigurationTest, WeSignAsTheSendersDomainOrTheOneSet) {
  report.dkim_keys = {folder.Write("key", kPem)};
  report.dkim_selectors = {"one"};
  report.contact_info = "tls@example.net";
  report.sender_address = "tls@bounces.example.net";
  EXPECT_EQ(Load()->signers.at(0).domain, "bounces.example.net");
  report.dkim_domain = "Example.NET.";
  EXPECT_EQ(Load()->signers.at(0).domain, "example.net");
}

TEST_F(ReportConfigurationTest, AKeyHasASelector) {
  const std::string problem =
      "report.dkim_selector must be given once for each report.dkim_key, in "
      "the same order";
  report.dkim_keys = {folder.Write("key", kPem)};
  Refused(problem);
  report.dkim_selectors = {"one", "two"};
  Refused(problem);
  report.dkim_keys.clear();
  Refused(problem);
}

TEST_F(ReportConfigurationTest, NamesOfKeysHaveToBeNames) {
  report.dkim_keys = {folder.Write("key", kPem)};
  report.dkim_selectors = {"a b"};
  Refused("report.dkim_selector cannot be 'a b'");
  report.dkim_selectors = {"one"};
  report.dkim_domain = "192.0.2.1";
  Refused("report.dkim_domain cannot be '192.0.2.1'");
}

TEST_F(ReportConfigurationTest, AKeyThatCannotBeReadIsNamed) {
  report.dkim_selectors = {"one"};
  report.dkim_keys = {"/not/there"};
  Refused(
      "cannot read report.dkim_key /not/there: No such file or directory; "
      "report.user must be able to read it");
  report.dkim_keys = {folder.path()};
  Refused("cannot read report.dkim_key " + folder.path() +
          ": Is a directory; report.user must be able to read it");
}

TEST_F(ReportConfigurationTest, AFileThatIsNoKeyIsNamed) {
  report.dkim_selectors = {"one"};
  for (const char* bytes : {"", "no key", "-----BEGIN PRIVATE KEY-----\n"}) {
    report.dkim_keys = {folder.Write("key", bytes)};
    const auto loaded = LoadReportConfiguration(options, host);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().message.find("report.dkim_key " +
                                          report.dkim_keys[0] + ": "),
              0u)
        << loaded.error().message;
  }
}

// --- other files

TEST_F(ReportConfigurationTest, SuppressionsAreRead) {
  report.suppress = folder.Write("suppress", "example.com\n");
  EXPECT_EQ(Load()->suppressions.size(), 1u);
  folder.Write("suppress", "example.com\n-\n");
  Refused(report.suppress + ":2: '-' is neither a domain nor an address");
}

TEST_F(ReportConfigurationTest, AuthoritiesThatCannotBeReadAreNamed) {
  report.ca_file = "/not/there";
  const auto loaded = LoadReportConfiguration(options, host);
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("report.ca_file"), std::string::npos);
  EXPECT_NE(loaded.error().message.find("/not/there"), std::string::npos);
}

TEST_F(ReportConfigurationTest, TheQueueIsWhereItIsSet) {
  report.queue_directory = "/elsewhere";
  EXPECT_EQ(Load()->QueuePath(), "/elsewhere/reports.db");
}

TEST_F(ReportConfigurationTest, EverySpoolIsRead) {
  options.spool.others = {"/other", "/third"};
  EXPECT_EQ(Load()->Spools(),
            (std::vector<std::string>{"/spool/outcomes", "/other/outcomes",
                                      "/third/outcomes"}));
}

// --- our own mails among the sessions

class OwnMails : public ReportConfigurationTest {
 protected:
  OwnMails() { report.sendmail = folder.path() + "/sendmail"; }

  // What `postconf -d -h mail_version` says beside sendmail.
  void Says(const std::string& text, const std::string& exit_status = "0") {
    const std::string path = folder.path() + "/postconf";
    std::ofstream(path)
        << "#!/bin/sh\n[ \"$*\" = '-d -h mail_version' ] || exit 1\n"
        << "echo '" << text << "'; exit " << exit_status;
    chmod(path.c_str(), 0755);
  }
};

TEST_F(OwnMails, CountUpToPostfix3103) {
  for (const char* version : {"3.7.11", "3.9.1", "3.10.3"}) {
    Says(version);
    EXPECT_TRUE(Load()->subtract_own) << version;
  }
  for (const char* version : {"3.10.4", "3.11.0", "3.12-20260821"}) {
    Says(version);
    EXPECT_FALSE(Load()->subtract_own) << version;
  }
}

TEST_F(OwnMails, CountWhereThePostfixIsUnknown) {
  Says("what?");
  EXPECT_TRUE(Load()->subtract_own);
  Says("3.11.0", "1");
  EXPECT_TRUE(Load()->subtract_own);
}

TEST_F(OwnMails, CountAsTheAdministratorSays) {
  Says("3.7.11");
  report.subtract_own = false;
  EXPECT_FALSE(Load()->subtract_own);
  Says("3.11.0");
  report.subtract_own = true;
  EXPECT_TRUE(Load()->subtract_own);
}

}  // namespace
}  // namespace postern
