#include "policy-daemon/check_config.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace postern {
namespace {

using Strings = std::vector<std::string>;

// A Postfix that needs no change.
PostfixSettings Ready(const std::string& version = "3.10.13") {
  PostfixSettings postfix;
  postfix.version = version;
  postfix.queue_directory = "/var/spool/postfix";
  postfix.ca_file = "/etc/ssl/certs/ca-certificates.crt";
  postfix.security_level = "may";
  postfix.dns_support_level = "dnssec";
  postfix.policy_maps = "socketmap:unix:postern/policy.sock:policy";
  postfix.smtp_is_chrooted = true;
  return postfix;
}

Options Listening(const std::string& on) {
  Options options;
  options.policy.listen = {*ListenAddress::Parse(on)};
  return options;
}

const char* const kInQueue = "unix:/var/spool/postfix/postern/policy.sock";

bool Has(const Strings& list, const std::string& part) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& text) {
    return text.find(part) != std::string::npos;
  });
}

// The line that names our socket.
std::string PolicyMaps(const PostfixSettings& postfix, const char* listen) {
  for (const auto& line : AdviseMainCf(postfix, Listening(listen)).lines)
    if (line.starts_with("smtp_tls_policy_maps = ")) return line;
  return "";
}

TEST(AdviseMainCf, HasNothingToSayOfAReadyPostfix) {
  const auto advice = AdviseMainCf(Ready(), Listening(kInQueue));
  EXPECT_EQ(advice.warnings, (Strings{}));
  EXPECT_EQ(advice.lines,
            (Strings{"smtp_tls_policy_maps = "
                     "socketmap:unix:postern/policy.sock:policy-tlsrpt",
                     "smtp_tls_loglevel = 1"}));
}

TEST(AdviseMainCf, ChoosesTheDialectByVersion) {
  const auto map = [](const std::string& version) {
    const std::string line = PolicyMaps(Ready(version), kInQueue);
    return line.substr(line.rfind(':') + 1);
  };
  for (const char* version : {"3.4.0", "3.7.11", "3.9.9", "3.9-20240101"})
    EXPECT_EQ(map(version), "policy") << version;
  for (const char* version : {"3.10.0", "3.10.13", "3.10-20250101", "3.11.1",
                              "3.12-20260821", "4.0.0"})
    EXPECT_EQ(map(version), "policy-tlsrpt") << version;
}

TEST(AdviseMainCf, NamesTheSocketAsPostfixSeesIt) {
  EXPECT_EQ(PolicyMaps(Ready("3.7.11"), kInQueue),
            "smtp_tls_policy_maps = socketmap:unix:postern/policy.sock:policy");
  EXPECT_EQ(PolicyMaps(Ready("3.7.11"), "inet:127.0.0.1:8461"),
            "smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:policy");
  PostfixSettings outside = Ready("3.7.11");
  outside.smtp_is_chrooted = false;
  EXPECT_EQ(PolicyMaps(outside, "unix:/run/postern/policy.sock"),
            "smtp_tls_policy_maps = "
            "socketmap:unix:/run/postern/policy.sock:policy");
  EXPECT_EQ(PolicyMaps(outside, "unix:/var/spool/postfixes/p"),
            "smtp_tls_policy_maps = "
            "socketmap:unix:/var/spool/postfixes/p:policy")
      << "another folder that begins alike";
}

// `part` stands in the only warning.
void WarnsOf(const PostfixSettings& postfix, const Options& options,
             const std::string& part) {
  const auto advice = AdviseMainCf(postfix, options);
  ASSERT_EQ(advice.warnings.size(), 1u) << part;
  EXPECT_NE(advice.warnings[0].find(part), std::string::npos)
      << advice.warnings[0];
}

TEST(AdviseMainCf, WarnsOfAnOldPostfix) {
  WarnsOf(Ready("3.3.8"), Listening(kInQueue), "Postfix 3.3.8 is too old");
  WarnsOf(Ready("2.11.0"), Listening(kInQueue), "Postfix 2.11.0 is too old");
}

TEST(AdviseMainCf, CallsAMissingPostfixNotTooOld) {
  EXPECT_FALSE(
      Has(AdviseMainCf(Ready(""), Listening(kInQueue)).warnings, "too old"));
}

TEST(AdviseMainCf, WarnsOfAnEmptySecurityLevel) {
  for (const char* level : {"", "none"}) {
    PostfixSettings postfix = Ready();
    postfix.security_level = level;
    WarnsOf(postfix, Listening(kInQueue), "smtp_tls_security_level is empty");
    EXPECT_TRUE(Has(AdviseMainCf(postfix, Listening(kInQueue)).lines,
                    "smtp_tls_security_level = may"));
  }
  PostfixSettings dane = Ready();
  dane.security_level = "dane";
  EXPECT_TRUE(AdviseMainCf(dane, Listening(kInQueue)).warnings.empty());
}

TEST(AdviseMainCf, WarnsWhereAnAnswerCouldLowerTheSitesLevel) {
  PostfixSettings postfix = Ready();
  postfix.security_level = "encrypt";
  Options options = Listening(kInQueue);
  WarnsOf(postfix, options, "set policy.site_level = encrypt");
  options.policy.site_level = SiteLevel::kEncrypt;
  EXPECT_FALSE(Has(AdviseMainCf(postfix, options).warnings, "site_level"));
}

TEST(AdviseMainCf, WarnsOfMissingDnssec) {
  PostfixSettings postfix = Ready();
  for (const char* level : {"", "enabled", "disabled"}) {
    postfix.dns_support_level = level;
    WarnsOf(postfix, Listening(kInQueue),
            "smtp_dns_support_level is not dnssec");
    EXPECT_TRUE(Has(AdviseMainCf(postfix, Listening(kInQueue)).lines,
                    "smtp_dns_support_level = dnssec"));
  }
  Options without_dane = Listening(kInQueue);
  without_dane.dane.enabled = false;
  EXPECT_TRUE(AdviseMainCf(postfix, without_dane).warnings.empty());
}

TEST(AdviseMainCf, WarnsOfMissingAuthorities) {
  PostfixSettings postfix = Ready();
  postfix.ca_file = "";
  WarnsOf(postfix, Listening(kInQueue), "smtp_tls_CAfile is empty");
  postfix.ca_path = "/etc/ssl/certs";
  WarnsOf(postfix, Listening(kInQueue), "is read inside the chroot");
  EXPECT_TRUE(Has(AdviseMainCf(postfix, Listening(kInQueue)).lines,
                  "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt"));
  postfix.smtp_is_chrooted = false;
  EXPECT_TRUE(AdviseMainCf(postfix, Listening(kInQueue)).warnings.empty());
}

TEST(AdviseMainCf, WarnsOfASocketOutsideTheChroot) {
  WarnsOf(Ready(), Listening("unix:/run/postern/policy.sock"),
          "cannot reach /run/postern/policy.sock");
  EXPECT_TRUE(
      AdviseMainCf(Ready(), Listening("inet:127.0.0.1:8461")).warnings.empty());
  // Each socket is looked at; the first is the one for main.cf.
  Options two = Listening(kInQueue);
  two.policy.listen.push_back(*ListenAddress::Parse("unix:/run/p.sock"));
  WarnsOf(Ready(), two, "cannot reach /run/p.sock");
}

TEST(AdviseMainCf, WarnsWherePostfixDoesNotAskYet) {
  PostfixSettings postfix = Ready();
  for (const char* maps : {"", "hash:/etc/postfix/tls_policy"}) {
    postfix.policy_maps = maps;
    WarnsOf(postfix, Listening(kInQueue), "does not ask postern-policy yet");
  }
}

TEST(AdviseMainCf, TellsAllOfAFreshDebian) {
  PostfixSettings fresh;
  fresh.version = "3.7.11";
  fresh.queue_directory = "/var/spool/postfix";
  fresh.smtp_is_chrooted = true;
  const auto advice = AdviseMainCf(fresh, Listening(kInQueue));
  EXPECT_EQ(advice.warnings.size(), 4u);
  EXPECT_EQ(advice.lines,
            (Strings{"smtp_tls_security_level = may",
                     "smtp_dns_support_level = dnssec",
                     "smtp_tls_dane_insecure_mx_policy = dane",
                     "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt",
                     "smtp_tls_policy_maps = "
                     "socketmap:unix:postern/policy.sock:policy",
                     "smtp_tls_loglevel = 1"}));
}

// --- How Postfix tells of its sessions.

Options Receiving(const std::string& path) {
  Options options = Listening(kInQueue);
  options.tlsrpt.listen = {*ListenAddress::Parse("unix:" + path)};
  return options;
}
Options ReadingLog() {
  Options options = Listening(kInQueue);
  options.tlsrpt.maillog = kSystemdJournal;
  return options;
}

TEST(AdviseMainCf, FromPostfix310OnItTellsByTheSocket) {
  const auto options = Receiving("/var/spool/postfix/postern/tlsrpt.sock");
  const auto lines = AdviseMainCf(Ready("3.10.1"), options).lines;
  EXPECT_TRUE(Has(lines, "smtp_tlsrpt_enable = yes"));
  EXPECT_TRUE(Has(lines, "smtp_tlsrpt_socket_name = postern/tlsrpt.sock"));
  EXPECT_FALSE(Has(AdviseMainCf(Ready("3.7.11"), options).lines, "tlsrpt_"));
}

TEST(AdviseMainCf, AnOlderPostfixHasItsLog) {
  const auto options = Receiving("/var/spool/postfix/postern/tlsrpt.sock");
  const auto advice = AdviseMainCf(Ready("3.7.11"), options);
  EXPECT_EQ(advice.warnings, (Strings{}));
  EXPECT_TRUE(Has(advice.notes, "set tlsrpt.maillog"));
  EXPECT_EQ(AdviseMainCf(Ready("3.10.1"), options).notes, (Strings{}));
}

TEST(AdviseMainCf, WhatTheLogNeeds) {
  PostfixSettings postfix = Ready("3.7.11");
  postfix.loglevel = "1";
  EXPECT_EQ(AdviseMainCf(postfix, ReadingLog()).warnings, (Strings{}));
  EXPECT_EQ(AdviseMainCf(postfix, ReadingLog()).notes, (Strings{}));
  postfix.loglevel = "0";
  WarnsOf(postfix, ReadingLog(), "smtp_tls_loglevel is 0");
  postfix.loglevel = "1";
  postfix.policy_maps = "socketmap:inet:127.0.0.1:8461:policy";
  WarnsOf(postfix, ReadingLog(), "which process asks");
  postfix.policy_maps =
      "proxy:mysql:/etc/tls.cf, socketmap:unix:postern/policy.sock:policy";
  EXPECT_EQ(AdviseMainCf(postfix, ReadingLog()).warnings, (Strings{}));
  postfix.policy_maps = "proxy:socketmap:unix:postern/policy.sock:policy";
  WarnsOf(postfix, ReadingLog(), "which process asks");
  postfix = Ready("3.10.1");
  postfix.loglevel = "1";
  WarnsOf(postfix, ReadingLog(), "take tlsrpt.maillog out");
}

}  // namespace
}  // namespace postern
