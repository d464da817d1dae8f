// `postern-policy failures` over a folder of day files.
#include "policy-daemon/failures_command.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "common/outcome_json.h"
#include "common/spool_files.h"
#include "common/text.h"

#include "tests/support/outcomes.h"

namespace postern {
namespace {

using std::chrono::days;

Outcome FailedAt(WallTime at, const std::string& domain = "example.com") {
  Outcome outcome = FailedSession(at);
  outcome.domain = domain;
  return outcome;
}

class FailuresTest : public testing::Test {
 protected:
  FailuresTest() {
    request.directory = temporary.folder() + "/outcomes";
    request.since = kNow;
    std::filesystem::create_directory(request.directory);
  }

  std::string PathOf(WallTime at) const {
    return SpoolPath(request.directory, DayOf(at));
  }
  void Add(WallTime day, const std::string& bytes) {
    std::ofstream(PathOf(day), std::ios::binary | std::ios::app) << bytes;
  }
  void Add(const Outcome& outcome) { Add(outcome.at, LineOf(outcome)); }

  // What was printed until now.
  std::string Printed() const {
    std::ifstream file(output, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string Print() {
    std::FILE* file = std::fopen(output.c_str(), "w");
    testing::internal::CaptureStderr();
    exit_code = PrintFailures(request, file);
    complaint = testing::internal::GetCapturedStderr();
    std::fclose(file);
    return Printed();
  }
  // Follows while these do things, one at each wait.
  std::string Follow(std::vector<std::function<void()>> steps) {
    request.wait = [steps, next = size_t{0}]() mutable {
      if (next == steps.size()) return false;
      steps[next++]();
      return true;
    };
    return Print();
  }
  // Of the rows of a table, or the lines of --json.
  size_t Rows() const {
    const std::string text = Printed();
    size_t rows = 0;
    for (const std::string_view line : SplitList(text, "\n"))
      rows += line.starts_with("2026-") || line.starts_with("{\"at\":\"2026-");
    return rows;
  }

  PolicyFolder temporary;
  FailuresRequest request;
  const std::string output = temporary.folder() + "/output";
  int exit_code = -1;
  std::string complaint;
};

TEST_F(FailuresTest, ATableWhatItMeansAndTotals) {
  Add(DeliveredSessions());
  Add(FailedSession());
  EXPECT_EQ(
      Print(),
      "TIME (UTC)            DOMAIN       MX HOST [ADDRESS]              "
      "RESULT                     FAILED  SOURCE   REASON\n"
      "2026-11-22T13:05:07Z  example.com  mx.example.com [198.51.100.7]  "
      "certificate-host-mismatch       1  postfix  "
      "some-reason; seen \"twice\"\n"
      "\n"
      "certificate-host-mismatch\n"
      "    The MX host's certificate is for other names than the policy "
      "demands.\n"
      "    Its operator must install one for the right name; or, if MX records "
      "and\n"
      "    policy have moved apart, the domain's owner must correct them.\n"
      "\n"
      "More about a domain: postern-policy query DOMAIN\n"
      "1 session failed, 3 went well, since 2026-11-22T13:05:07Z.\n");
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(complaint, "");
}

TEST_F(FailuresTest, NoFailures) {
  Add(DeliveredSessions());
  EXPECT_EQ(Print(),
            "No failures since 2026-11-22T13:05:07Z; 3 sessions went well.\n");
  EXPECT_EQ(exit_code, 0);
  request.json = true;
  EXPECT_EQ(Print(), "");
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(complaint, "");
}

TEST_F(FailuresTest, AnEmptySpool) {
  EXPECT_TRUE(Print().starts_with(
      "No failures, and no session at all, since 2026-11-"));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(FailuresTest, WithoutAFolderItSaysWhatToDo) {
  std::filesystem::remove(request.directory);
  EXPECT_EQ(Print(), "");
  EXPECT_EQ(exit_code, 1);
  EXPECT_NE(complaint.find("there is no folder " + request.directory),
            std::string::npos);
  EXPECT_NE(complaint.find("spool.directory"), std::string::npos);
}

TEST_F(FailuresTest, WhatCannotBeReadIsAnError) {
  std::filesystem::remove(request.directory);
  std::ofstream(request.directory) << "a file";
  EXPECT_EQ(Print(), "");
  EXPECT_EQ(exit_code, 1);
  EXPECT_NE(complaint.find("cannot read the folder"), std::string::npos);
}

TEST_F(FailuresTest, OfATimeAcrossDays) {
  Add(FailedAt(kNow - days(2), "too-old.example"));
  Add(FailedAt(kNow - Seconds(1), "just-before.example"));
  Add(FailedAt(kNow, "first.example"));
  Add(FailedAt(kNow + days(1), "next-day.example"));
  Add(FailedAt(kNow + days(3), "last.example"));
  const std::string text = Print();
  EXPECT_EQ(Rows(), 3u);
  EXPECT_LT(text.find("first.example"), text.find("next-day.example"));
  EXPECT_LT(text.find("next-day.example"), text.find("last.example"));
  EXPECT_NE(text.find("\n3 sessions failed, none went well, since"),
            std::string::npos);
}

TEST_F(FailuresTest, OfADomain) {
  Add(FailedSession());
  Add(FailedAt(kNow, "example.net"));
  Add(DeliveredSessions());
  request.domain = "example.net";
  const std::string text = Print();
  EXPECT_EQ(Rows(), 1u);
  EXPECT_TRUE(
      text.ends_with("1 session failed, none went well, since "
                     "2026-11-22T13:05:07Z at example.net.\n"));
}

TEST_F(FailuresTest, SkippedLinesAreCounted) {
  Add(kNow, "torn\n" + LineOf(FailedSession()) + "{}\n" +
                LineOf(DeliveredSessions()).substr(0, 50));
  EXPECT_TRUE(Print().ends_with(
      "\n2 lines were skipped: torn, or not of the spool's format.\n"));
  // When the next day has come, nobody will finish the last one.
  Add(FailedAt(kNow + days(1)));
  EXPECT_TRUE(
      Print().ends_with("\n3 lines were skipped: torn, or not of the "
                        "spool's format.\n"));
  request.json = true;
  Print();
  EXPECT_EQ(complaint,
            "3 lines were skipped: torn, or not of the spool's format.\n");
}

TEST_F(FailuresTest, JsonIsTheSpoolsLines) {
  Outcome odd = FailedSession();
  odd.failure_details[0].failure_reason_code = "\x1b[2J \u20ac";
  Add(FailedSession());
  Add(DeliveredSessions());
  Add(odd);
  request.json = true;
  EXPECT_EQ(Print(), LineOf(FailedSession()) + LineOf(odd));
  const std::string text = Printed();
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c <= 0x7e));
}

TEST_F(FailuresTest, FollowingShowsEachAsItHappens) {
  Add(FailedSession());
  const std::string text = Follow({
      [&] {
        EXPECT_EQ(Rows(), 1u);
        Add(FailedAt(kNow));
      },
      [&] {
        EXPECT_EQ(Rows(), 2u);
        Add(DeliveredSessions());
      },
      [&] { EXPECT_EQ(Rows(), 2u); },
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_TRUE(text.ends_with(
      "2 sessions failed, 3 went well, since 2026-11-22T13:05:07Z.\n"));
}

TEST_F(FailuresTest, FollowingBeginsWithTheHead) {
  Follow({[&] { EXPECT_TRUE(Printed().starts_with("TIME (UTC)  ")); },
          [&] { EXPECT_TRUE(Printed().ends_with(" REASON\n")); }});
}

TEST_F(FailuresTest, FollowingWaitsForTheFolder) {
  std::filesystem::remove(request.directory);
  request.json = true;
  Follow({
      [&] { std::filesystem::create_directory(request.directory); },
      [&] { Add(FailedSession()); },
      [&] { EXPECT_EQ(Rows(), 1u); },
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(complaint, "postern-policy: there is no folder " +
                           request.directory + " yet; waiting for it\n");
}

TEST_F(FailuresTest, FollowingGoesAcrossMidnight) {
  const std::string line = LineOf(FailedSession());
  const WallTime tomorrow = kNow + days(1);
  Add(kNow, line.substr(0, 100));
  Follow({
      [&] {
        EXPECT_EQ(Rows(), 0u);
        // The last of the day comes with the first of the next.
        Add(kNow, line.substr(100) + line);
        Add(FailedAt(tomorrow));
      },
      [&] {
        EXPECT_EQ(Rows(), 3u);
        Add(FailedAt(tomorrow));
      },
      [&] { EXPECT_EQ(Rows(), 4u); },
  });
}

TEST_F(FailuresTest, FollowingADayThatIsBegunAnew) {
  Add(FailedSession());
  Follow({
      [&] {
        std::filesystem::rename(PathOf(kNow), temporary.folder() + "/old");
      },
      // The writer has not noticed yet.
      [&] {
        EXPECT_EQ(Rows(), 1u);
        std::ofstream(temporary.folder() + "/old", std::ios::app)
            << LineOf(FailedSession());
      },
      [&] {
        EXPECT_EQ(Rows(), 2u);
        Add(FailedSession());
        Add(FailedSession());
      },
      [&] { EXPECT_EQ(Rows(), 4u); },
  });
}

int ExitCodeOf(std::vector<std::string> words) {
  std::vector<const char*> argv = {"postern-policy", "--config=/dev/null"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  const auto line =
      ParseCommandLine(static_cast<int>(argv.size()), argv.data());
  return line ? Failures(*line) : -1;
}

TEST_F(FailuresTest, TheCommandLine) {
  const WallTime now =
      std::chrono::floor<Seconds>(std::chrono::system_clock::now());
  Add(FailedAt(now - Seconds(1800), "xn--bcher-kva.example"));
  const std::string spool = "--spool.directory=" + temporary.folder();
  const auto found = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"failures", "--json", spool});
    testing::internal::CaptureStdout();
    EXPECT_EQ(ExitCodeOf(words), 0);
    return !testing::internal::GetCapturedStdout().empty();
  };
  EXPECT_TRUE(found({}));
  EXPECT_TRUE(found({"--since=1h"}));
  EXPECT_TRUE(found({"--since", "3650d"}));
  EXPECT_FALSE(found({"--since=20m"}));
  EXPECT_TRUE(found({"--domain=xn--bcher-kva.example"}));
  EXPECT_TRUE(found({"--domain", "XN--Bcher-KVA.example."}));
  EXPECT_TRUE(found({"--domain", "B\u00fccher.example"}));
  EXPECT_FALSE(found({"--domain=example"}));
}

TEST_F(FailuresTest, WhatIsNoTimeOrDomainIsSaid) {
  const std::pair<std::vector<std::string>, const char*> table[] = {
      {{"--since=soon"}, "--since cannot be 'soon'; expected a duration"},
      {{"--since=-1h"}, "--since cannot be '-1h'"},
      {{"--since=0"}, "--since cannot be '0'"},
      {{"--since=500ms"}, "--since cannot be '500ms'"},
      {{"--since=3651d"}, "--since cannot be '3651d'"},
      {{"--since=999999999d"}, "--since cannot be '999999999d'"},
      {{"--domain=a b"}, "--domain: a b is no domain"},
      {{"--domain=\x1b[2J"}, "--domain: \\x1b[2J is no domain"},
      {{"--domain=192.0.2.1"}, "--domain: 192.0.2.1 is no domain"},
      {{"example.com"}, "failures takes options alone"},
  };
  for (auto [words, text] : table) {
    words.insert(words.begin(),
                 {"failures", "--spool.directory=" + temporary.folder()});
    testing::internal::CaptureStderr();
    EXPECT_EQ(ExitCodeOf(words), 2);
    EXPECT_NE(testing::internal::GetCapturedStderr().find(text),
              std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace postern
