#include "policy-daemon/setup_text.h"

#include <gtest/gtest.h>

#include "policy-daemon/postfix_editor.h"
#include "policy-daemon/setup_command.h"

namespace postern {
namespace {

const Change kSet = {Change::File::kMainCf,
                     "smtp_tls_policy_maps",
                     "hash:/a",
                     "hash:/a, it's",
                     "",
                     "why"};
const Change kUnset = {
    Change::File::kMainCf, "smtpd_milters", "", std::nullopt, "", "why"};
const Change kService = {Change::File::kMasterCf,
                         "tlsproxy/unix",
                         std::nullopt,
                         "tlsproxy unix - - y - 0 tlsproxy",
                         "",
                         "why"};

TEST(SetupText, TellsFileByFileWhatWasAndWhy) {
  EXPECT_EQ(ChangesText({kService, kSet, kUnset}, "/etc/postfix"),
            "main.cf (/etc/postfix/main.cf):\n"
            "  smtp_tls_policy_maps = hash:/a, it's\n"
            "      was hash:/a; why\n"
            "  smtpd_milters goes out\n"
            "      was empty; why\n"
            "master.cf (/etc/postfix/master.cf):\n"
            "  tlsproxy unix - - y - 0 tlsproxy\n"
            "      was not there; why\n");
  EXPECT_EQ(ChangesText({}, "/etc/postfix"), "");
}

TEST(SetupText, IsForAShell) {
  EXPECT_EQ(CommandFor(kSet),
            "postconf -e 'smtp_tls_policy_maps = hash:/a, it'\\''s'");
  EXPECT_EQ(CommandFor(kUnset), "postconf -X smtpd_milters");
  EXPECT_EQ(CommandFor(kService),
            "postconf -Me 'tlsproxy/unix=tlsproxy unix - - y - 0 tlsproxy'");
}

TEST(SetupText, LetsNothingReachATerminalUnescaped) {
  Change change = kSet;
  change.before = "\x1b[2J";
  EXPECT_EQ(ChangesText({change}, "/e").find('\x1b'), std::string::npos);
  EXPECT_EQ(RemarksText("note", {"\x1b[2J"}), "note: \\x1b[2J\n");
}

TEST(SetupText, LinesAreForATerminal) {
  std::string words;
  for (int i = 0; i < 20; ++i) words += "words ";
  const std::string text = RemarksText("note", {words});
  EXPECT_EQ(text.find('\n'), 77u) << text;
  EXPECT_EQ(text.find(" \n"), std::string::npos);
}

TEST(WithoutConfiguration, AllOtherWordsStay) {
  const char* words[] = {
      "postern-policy", "setup", "--config", "/a",   "--remove",
      "--config=/b",    "-c",    "/c",       "-c/d", "--cache.directory=/e"};
  EXPECT_EQ(
      WithoutConfiguration(10, words),
      (std::vector<std::string>{"postern-policy", "setup", "--remove",
                                "--cache.directory=/e", "--config=/dev/null"}));
}

}  // namespace
}  // namespace postern
