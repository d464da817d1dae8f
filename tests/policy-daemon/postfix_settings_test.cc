#include "policy-daemon/postfix_settings.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>

#include <gtest/gtest.h>

namespace postern {
namespace {

constexpr char kServices[] =
    "smtp       inet  n       -       y       -       -       smtpd\n"
    "smtp       unix  -       -       y       -       -       smtp\n"
    "relay      unix  -       -       n       -       -       smtp "
    "-o syslog_name=postfix/$service_name\n";
constexpr char kOverrides[] =
    "relay/unix/syslog_name = postfix/$service_name\n"
    "relay/unix/a = {b} = c\nrelay/unix/smtp_x =\n";

TEST(PostfixSettings, NamesAndValues) {
  const auto settings = ParsePostfixSettings(
      "mail_version = 3.7.11\nsmtp_tls_CAfile =\nx = a = b\n",
      "x = $y\nempty =\n", "");
  EXPECT_EQ(settings.version, (PostfixVersion{3, 7, 11}));
  EXPECT_EQ(settings.Effective("x"), "a = b");
  EXPECT_EQ(settings.Effective("unknown"), "");
  EXPECT_EQ(settings.Explicit("x"), "$y");
  EXPECT_EQ(settings.Explicit("empty"), "") << "set, to nothing";
  EXPECT_EQ(settings.Explicit("smtp_tls_CAfile"), std::nullopt);
}

TEST(PostfixSettings, Services) {
  const auto settings = ParsePostfixSettings("", "", kServices, kOverrides);
  ASSERT_EQ(settings.services.size(), 3u);
  const PostfixService* relay = settings.Service("relay/unix");
  ASSERT_NE(relay, nullptr);
  EXPECT_EQ(relay->chroot, "n");
  EXPECT_EQ(relay->command, "smtp");
  EXPECT_EQ(relay->overrides, (std::map<std::string, std::string>{
                                  {"syslog_name", "postfix/$service_name"},
                                  {"a", "{b} = c"},
                                  {"smtp_x", ""}}));
  EXPECT_TRUE(settings.smtp_is_chrooted());
  EXPECT_EQ(settings.Service("smtp/unix")->line, "smtp unix - - y - - smtp");
}

TEST(PostfixSettings, AnOpenChrootFieldMeansTheWaysOfBefore30) {
  constexpr char kOpen[] = "smtp unix - - - - - smtp\n";
  EXPECT_TRUE(ParsePostfixSettings("compatibility_level = 0\n", "", kOpen)
                  .smtp_is_chrooted());
  EXPECT_FALSE(ParsePostfixSettings("compatibility_level = 2\n", "", kOpen)
                   .smtp_is_chrooted());
}

// A postconf that has a setting that nothing here knows by name.
TEST(PostfixSettings, AllOfThemAreRead) {
  std::string folder = testing::TempDir() + "postern_settings_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::ofstream(folder + "/postconf")
      << "#!/bin/sh\n[ $# -lt 3 ] || exit 1\ncase \"$*\" in\n"
         "-x) echo mail_version = 3.7.11; echo smtp_some = x;;\n"
         "-n) echo 'smtp_some = $y';;\n"
         "-M) echo 'bulk unix - - y - - smtp -o smtp_some=$y';;\n"
         "'-P -x') echo bulk/unix/smtp_some = x;;\nesac\n";
  chmod((folder + "/postconf").c_str(), 0755);
  const std::string path = getenv("PATH");
  setenv("PATH", (folder + ":" + path).c_str(), 1);
  const auto settings = ReadPostfixSettings();
  setenv("PATH", path.c_str(), 1);
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->Effective("smtp_some"), "x");
  EXPECT_EQ(settings->Explicit("smtp_some"), "$y");
  EXPECT_EQ(settings->services.at(0).overrides.at("smtp_some"), "x");
}

}  // namespace
}  // namespace postern
