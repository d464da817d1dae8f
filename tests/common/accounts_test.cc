#include "common/accounts.h"

#include <csignal>
#include <stdexcept>

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace postern {
namespace {

using std::chrono::seconds;

const passwd* Nobody() { return geteuid() == 0 ? getpwnam("nobody") : nullptr; }

TEST(ReportAccount, IsItsOwnWhereverItCanBe) {
  const bool has_package = getpwnam("postern-report") != nullptr;
  struct Case {
    const char *report_user, *run_user, *user, *group;
  };
  for (const Case& one :
       {Case{"", "", "", ""}, Case{"mailer", "", "mailer", ""},
        Case{"mailer", "postern", "mailer", ""},
        has_package ? Case{"", "postern", "postern-report", ""}
                    : Case{"", "postern", "postern", "some"}}) {
    Options options;
    options.report.user = one.report_user;
    options.run.user = one.run_user;
    options.run.group = *one.run_user ? "some" : "";
    const Account account = ReportAccount(options);
    EXPECT_EQ(account.user, one.user);
    EXPECT_EQ(account.group, one.group);
  }
}

TEST(CommandAccount, IsRunUserElseWhoOwnsWhatIsReadElseNobody) {
  const passwd* nobody = Nobody();
  if (!nobody) {
    EXPECT_EQ(CommandAccount({"postern", "mail"}, "/").user, "");
    GTEST_SKIP() << "needs root";
  }
  EXPECT_EQ(CommandAccount({"postern", "mail"}, "/").user, "postern");
  EXPECT_EQ(CommandAccount({"postern", "mail"}, "/").group, "mail");
  const TemporaryFolder folder;
  EXPECT_EQ(CommandAccount({}, folder.path()).user, "root");
  ASSERT_EQ(chown(folder.path().c_str(), nobody->pw_uid, 0), 0);
  EXPECT_EQ(CommandAccount({}, folder.path()).user, "nobody");
  EXPECT_EQ(CommandAccount({}, folder.PathOf("missing")).user, "nobody");
}

TEST(DoneAs, ReturnsWhatTheWorkSaid) {
  const auto said = DoneAs({}, seconds(10), [] { return "a\nb"; });
  ASSERT_TRUE(said) << said.error().message;
  EXPECT_EQ(*said, "a\nb");
  const auto nothing = DoneAs({}, seconds(10), [] { return ""; });
  ASSERT_TRUE(nothing) << nothing.error().message;
  EXPECT_EQ(*nothing, "");
}

TEST(DoneAs, DoesItAsTheAccountAndStaysWhatItWas) {
  if (!Nobody()) GTEST_SKIP() << "needs root";
  const auto who = DoneAs({"nobody", ""}, seconds(10), [] {
    gid_t groups[64];
    std::string text = getpwuid(geteuid())->pw_name;
    text += setuid(0) == 0 ? ", and root again" : "";
    for (int i = 0, count = getgroups(64, groups); i < count; ++i)
      text += groups[i] == 0 ? ", in root's group" : "";
    return text;
  });
  ASSERT_TRUE(who) << who.error().message;
  EXPECT_EQ(*who, "nobody");
  EXPECT_EQ(geteuid(), 0u);
}

TEST(DoneAs, TellsWhyItWasNotDone) {
  struct Case {
    const char* user;
    std::function<std::string()> work;
    const char* why;
  };
  const Case cases[] = {
      {"no-such-user", [] { return ""; },
       "there is no user 'no-such-user' (see run.user and report.user)"},
      {"", []() -> std::string { throw std::runtime_error("thrown"); },
       "thrown"},
      {"", []() -> std::string { _exit(0); }, "it ended before it was done"},
      {"", [] { return std::string(100000, 'x'); }, "it said too much"},
      {"",
       []() -> std::string {
         raise(SIGALRM);
         return "";
       },
       "it was not done within 1 seconds"}};
  for (const Case& one : cases) {
    const auto done = DoneAs({one.user, ""}, seconds(1), one.work);
    ASSERT_FALSE(done) << one.why;
    EXPECT_EQ(done.error().message, one.why);
  }
}

}  // namespace
}  // namespace postern
