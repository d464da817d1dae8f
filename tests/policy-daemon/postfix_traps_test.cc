// Settings that Postfix accepts in silence, and that would turn our answers
// against mail.
#include "policy-daemon/postfix_traps.h"

#include <gtest/gtest.h>

#include "policy-daemon/wiring.h"
#include "tests/support/postfix_fixture.h"

namespace postern {
namespace {

using Strings = std::vector<std::string>;

// The first words of each warning.
Strings Begins(const Strings& warnings) {
  Strings begins;
  for (const std::string& warning : warnings)
    begins.push_back(warning.substr(0, warning.find(": ", 10)));
  return begins;
}

struct Setting {
  const char* name;
  const char* value;
};

TEST(PostfixTraps, AReadyPostfixHasNone) {
  for (const char* version : {"3.4.0", "3.7.11", "3.10.13"}) {
    const PostfixFixture postfix = Ready(version);
    EXPECT_EQ(DaneTraps(postfix.settings), Strings{}) << version;
    EXPECT_EQ(AuthorityTraps(postfix.settings), Strings{}) << version;
    EXPECT_EQ(SrvTraps(postfix.settings), Strings{}) << version;
    EXPECT_EQ(MaillogTraps(postfix.settings, ReadingLog()), Strings{});
  }
}

// --- DANE

TEST(PostfixTraps, SettingsThatSwitchDaneOffAreNamedWithTheirRemedy) {
  for (const auto& [name, value] : std::vector<Setting>{
           {"smtp_host_lookup", "native"},
           {"disable_dns_lookups", "yes"},
           {"ignore_mx_lookup_error", "yes"},
           {"smtp_dns_resolver_options", "res_defnames"},
           {"smtp_dns_resolver_options", "res_dnsrch"},
           {"smtp_dns_resolver_options", "res_defnames, res_dnsrch"},
           {"smtp_dns_resolver_options", "RES_DNSRCH"},
           {"tls_dane_digests", "sha256"},
           {"tls_dane_digests", "sha512"},
           {"smtp_tls_dane_insecure_mx_policy", "may"},
           {"smtp_tls_dane_insecure_mx_policy", "encrypt"}}) {
    PostfixFixture postfix = Ready();
    postfix.Set(name, value);
    const auto warnings = DaneTraps(postfix.settings);
    ASSERT_EQ(warnings.size(), 1u) << name << " = " << value;
    EXPECT_TRUE(warnings[0].starts_with(std::string(name) + " = " + value +
                                        ": Postfix"))
        << warnings[0];
    EXPECT_NE(warnings[0].find("; "), std::string::npos) << "a remedy";
  }
}

TEST(PostfixTraps, SettingsThatLeaveDaneOnAreFine) {
  for (const auto& [name, value] :
       std::vector<Setting>{{"smtp_host_lookup", "dns"},
                            {"smtp_host_lookup", "dns, native"},
                            {"smtp_host_lookup", "native,dns"},
                            {"disable_dns_lookups", "no"},
                            {"ignore_mx_lookup_error", "no"},
                            {"smtp_dns_resolver_options", ""},
                            {"tls_dane_digests", "sha512 sha256"},
                            {"tls_dane_digests", "sha256, sha512"},
                            {"smtp_tls_dane_insecure_mx_policy", "dane"}}) {
    PostfixFixture postfix = Ready();
    postfix.Set(name, value);
    EXPECT_EQ(DaneTraps(postfix.settings), Strings{}) << name << value;
  }
}

TEST(PostfixTraps, TrustAnchorDigestsAreASettingBeforePostfix36) {
  for (const auto& [version, warnings] :
       std::vector<std::pair<const char*, size_t>>{
           {"3.4.0", 1}, {"3.5.9", 1}, {"3.6.0", 0}, {"3.10.4", 0}}) {
    PostfixFixture postfix = Ready(version);
    postfix.Set("tls_dane_trust_anchor_digest_enable", "no");
    EXPECT_EQ(DaneTraps(postfix.settings).size(), warnings) << version;
  }
}

TEST(PostfixTraps, AServiceOfSmtpIsLookedAtToo) {
  for (const auto& [name, value] :
       std::vector<Setting>{{"smtp_host_lookup", "native"},
                            {"smtp_dns_support_level", "enabled"},
                            {"ignore_mx_lookup_error", "yes"}}) {
    PostfixFixture postfix = Ready();
    postfix.AddService("relay unix - - y - - smtp",
                       std::string(name) + " = " + value);
    EXPECT_EQ(Begins(DaneTraps(postfix.settings)),
              (Strings{std::string("master.cf: relay/unix has ") + name +
                       " = " + value}));
    PostfixFixture other = Ready();
    other.AddService("local unix - n n - - local",
                     std::string(name) + " = " + value);
    EXPECT_EQ(DaneTraps(other.settings), Strings{}) << "no smtp(8)";
  }
}

// Mail that goes by /etc/hosts would be routed by DNS.
TEST(PostfixTraps, WhoDoesWithoutDnsIsNotGivenIt) {
  PostfixFixture postfix = Fresh("3.7.11");
  postfix.Set("disable_dns_lookups", "yes");
  const auto plan = PlanWiring(postfix.settings, Listening(kInQueue), {});
  for (const Change& change : plan.changes)
    EXPECT_NE(change.name, "smtp_dns_support_level");
  EXPECT_EQ(plan.warnings.size(), 1u);
}

TEST(PostfixTraps, WithoutDaneNothingOfItIsToldOf) {
  PostfixFixture postfix = Ready();
  postfix.Set("smtp_host_lookup", "native");
  Options options = Listening(kInQueue);
  EXPECT_EQ(PlanWiring(postfix.settings, options, {}).warnings.size(), 1u);
  options.dane.enabled = false;
  EXPECT_EQ(PlanWiring(postfix.settings, options, {}).warnings, Strings{});
}

// --- Authorities

PostfixFixture WithCaFile(size_t missing, bool is_there = true) {
  PostfixFixture postfix = Ready();
  postfix.Set("smtp_tls_CAfile", "/etc/ssl/own.pem");
  postfix.settings.system_authorities = 140;
  postfix.settings.ca_files["/etc/ssl/own.pem"] = {is_there, missing};
  return postfix;
}

TEST(PostfixTraps, ACaFileThatLacksTheSystemsAuthorities) {
  const auto warnings = AuthorityTraps(WithCaFile(139).settings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("lacks 139 of the 140"), std::string::npos);
  EXPECT_NE(warnings[0].find("/etc/ssl/certs/ca-certificates.crt"),
            std::string::npos);
  // Somebody has taken some out, or has an older list.
  EXPECT_EQ(AuthorityTraps(WithCaFile(20).settings), Strings{});
  EXPECT_EQ(AuthorityTraps(WithCaFile(0).settings), Strings{});
}

TEST(PostfixTraps, ACaFileThatIsNotThere) {
  const auto warnings = AuthorityTraps(WithCaFile(140, false).settings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("no such file"), std::string::npos);
}

TEST(PostfixTraps, ACaFileOfAService) {
  PostfixFixture postfix = WithCaFile(139);
  postfix.Set("smtp_tls_CAfile", "/etc/ssl/certs/ca-certificates.crt");
  EXPECT_EQ(AuthorityTraps(postfix.settings), Strings{});
  postfix.AddService("relay unix - - y - - smtp",
                     "smtp_tls_CAfile = /etc/ssl/own.pem");
  EXPECT_EQ(AuthorityTraps(postfix.settings).size(), 1u);
}

TEST(PostfixTraps, WhatStandsBesideTheCaFileCountsOutsideOfAChroot) {
  for (const auto& [name, value] :
       std::vector<Setting>{{"smtp_tls_CApath", "/etc/ssl/certs"},
                            {"tls_append_default_CA", "yes"}}) {
    PostfixFixture postfix = WithCaFile(139);
    postfix.Set(name, value);
    EXPECT_EQ(AuthorityTraps(postfix.settings).size(), 1u) << "chrooted";
    postfix.Chroot("n");
    EXPECT_EQ(AuthorityTraps(postfix.settings), Strings{}) << name;
  }
}

TEST(PostfixTraps, CertificatesAreComparedByTheirContent) {
  const std::string a =
      "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n";
  const std::string a_again =
      "# a comment\n-----BEGIN CERTIFICATE-----\r\nMIIBAA\r\nAA\r\n"
      "-----END CERTIFICATE-----\r\n";
  const std::string key =
      "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
  EXPECT_EQ(CertificatesIn(a), CertificatesIn(a_again));
  EXPECT_EQ(CertificatesIn(a + key + a_again).size(), 1u);
  EXPECT_EQ(CertificatesIn("").size(), 0u);
  EXPECT_EQ(CertificatesIn(key).size(), 0u);
  EXPECT_EQ(CertificatesIn("-----BEGIN CERTIFICATE-----\nMIIB").size(), 0u);
}

// --- SRV records

TEST(PostfixTraps, SrvLookupsGetALineOfOverrides) {
  PostfixFixture postfix = Ready();
  postfix.Set("use_srv_lookup", "submission");
  auto warnings = SrvTraps(postfix.settings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("\"DOMAIN:SERVICE off\""), std::string::npos);
  postfix.Set("relayhost", "example.com:submission");
  warnings = SrvTraps(postfix.settings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("\"example.com:submission off\""),
            std::string::npos);
  postfix.Set("use_srv_lookup", "");
  EXPECT_EQ(SrvTraps(postfix.settings), Strings{});
}

// --- The log

TEST(PostfixTraps, ALogThatIsWrittenElsewhere) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set("maillog_file", "/var/log/postfix.log");
  Options options = ReadingLog();
  EXPECT_EQ(MaillogTraps(postfix.settings, options).size(), 1u);
  options.tlsrpt.maillog = "/var/log/mail.log";
  EXPECT_EQ(MaillogTraps(postfix.settings, options).size(), 1u);
  options.tlsrpt.maillog = "/var/log/postfix.log";
  EXPECT_EQ(MaillogTraps(postfix.settings, options), Strings{});
  options.tlsrpt.maillog = "";
  EXPECT_EQ(MaillogTraps(postfix.settings, options), Strings{});
}

TEST(PostfixTraps, AddressesInAnotherFormat) {
  PostfixFixture postfix = Ready("3.7.11");
  postfix.Set("info_log_address_format", "internal");
  EXPECT_EQ(MaillogTraps(postfix.settings, ReadingLog()).size(), 1u);
}

}  // namespace
}  // namespace postern
