#include "policy-daemon/postfix_settings.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

constexpr char kServices[] =
    "smtp       inet  n       -       y       -       -       smtpd\n"
    "smtp       unix  -       -       y       -       -       smtp\n"
    "relay      unix  -       -       n       -       -       smtp "
    "-o syslog_name=postfix/$service_name -o { a = b c } -o smtp_x=\n";

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
  const auto settings = ParsePostfixSettings("", "", kServices);
  ASSERT_EQ(settings.services.size(), 3u);
  const PostfixService* relay = settings.Service("relay/unix");
  ASSERT_NE(relay, nullptr);
  EXPECT_EQ(relay->chroot, "n");
  EXPECT_EQ(relay->command, "smtp");
  EXPECT_EQ(relay->overrides, (std::map<std::string, std::string>{
                                  {"syslog_name", "postfix/$service_name"},
                                  {"a", "b c"},
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

}  // namespace
}  // namespace postern
