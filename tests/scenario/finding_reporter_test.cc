// From what a lookup has found to an outcome, in virtual time.
#include "policy-daemon/finding_reporter.h"

#include <gtest/gtest.h>

#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr char kDomain[] = "example.com";
constexpr char kName[] = "_smtp._tls.example.com";
constexpr char kRecord[] = "v=TLSRPTv1; rua=mailto:tls@example.com";

class FindingReporterTest : public testing::Test {
 protected:
  FindingReporterTest() {
    reporter.RecordTo(
        [this](Outcome outcome) { recorded.push_back(std::move(outcome)); });
  }
  void TearDown() override { world.End(); }

  void Report(std::optional<DnsQuestion> if_bogus = {}) {
    Report(1s, std::move(if_bogus));
  }
  void Report(Seconds wait, std::optional<DnsQuestion> if_bogus = {}) {
    ReportOf(kDomain, std::move(if_bogus), wait);
  }
  void ReportOf(const std::string& domain,
                std::optional<DnsQuestion> if_bogus = {}, Seconds wait = 0s,
                size_t bytes = 0) {
    Finding finding;
    finding.outcome.domain = domain;
    finding.outcome.policy_string = {std::string(bytes, 'x')};
    finding.outcome.source = OutcomeSource::kPolicy;
    finding.outcome.failure_details.emplace_back();
    finding.if_bogus = std::move(if_bogus);
    reporter.Record(std::move(finding));
    world.Pass(wait);
  }
  double Dropped() {
    return world.metrics.Counter("postern_findings_dropped_total", "").Value();
  }

  FakeWorld world;
  std::vector<Outcome> recorded;
  FindingReporter reporter{
      {world.loop.get_executor(), world.clock, world.dns, world.metrics}};
};

TEST_F(FindingReporterTest, HasItsTimeAndTheRecord) {
  world.dns.Txt(kName, {"v=spf1 -all", kRecord});
  Report();
  ASSERT_EQ(recorded.size(), 1u);
  EXPECT_EQ(recorded[0].record, kRecord);
  EXPECT_LE(world.clock.WallNow() - recorded[0].at, 1s);
}

TEST_F(FindingReporterTest, WhoWantsNoReportsGetsNone) {
  struct Case {
    const char* what;
    std::function<void()> publish;
  };
  const std::vector<Case> cases = {
      {"no record", [] {}},
      {"another record", [&] { world.dns.Txt(kName, {"v=TLSRPTv2; rua=x"}); }},
      {"two of them",
       [&] {
         world.dns.Txt(kName, {kRecord, kRecord});
       }},
      {"DNS fails", [&] { world.dns.Fail(kName, DnsType::kTxt); }}};
  for (const auto& [what, publish] : cases) {
    publish();
    Report();
    EXPECT_TRUE(recorded.empty()) << what;
  }
}

TEST_F(FindingReporterTest, BogusDataIsAFailure) {
  world.dns.Txt(kName, {kRecord});
  world.dns.Bogus(kDomain, DnsType::kMx);
  Report(DnsQuestion{kDomain, DnsType::kMx});
  EXPECT_EQ(recorded.size(), 1u);
}

// Whose fault that is, nobody can tell.
TEST_F(FindingReporterTest, ServersThatDoNotAnswerAreNone) {
  world.dns.Txt(kName, {kRecord});
  world.dns.Fail(kDomain, DnsType::kMx);
  Report(DnsQuestion{kDomain, DnsType::kMx});
  EXPECT_TRUE(recorded.empty());
}

TEST_F(FindingReporterTest, ARecordOfAnySizeIsWholeOrNone) {
  const std::string begin = "v=TLSRPTv1; rua=mailto:tls@example.com; x=";
  for (const auto& [text, is_taken] :
       {std::pair{begin + std::string(4096 - begin.size(), 'x'), true},
        std::pair{begin + std::string(4097 - begin.size(), 'x'), false},
        // Each byte becomes three.
        std::pair{begin + std::string(2000, '\xff'), false}}) {
    recorded.clear();
    world.dns.Txt(kName, {text});
    ReportOf(kDomain, {}, 1s);
    EXPECT_EQ(recorded.size(), is_taken ? 1u : 0u) << text.size();
    world.Pass(24h);
  }
}

// --- Who waits for whom.

TEST_F(FindingReporterTest, AHundredDomainsAreLookedUpAtOnce) {
  for (int i = 0; i < 150; ++i) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    world.dns.Txt("_smtp._tls." + domain, {kRecord}).After(5s);
    ReportOf(domain);
  }
  EXPECT_TRUE(reporter.busy());
  world.Pass(6s);
  EXPECT_EQ(recorded.size(), 100u);
  world.Pass(5s);
  EXPECT_EQ(recorded.size(), 150u);
  EXPECT_FALSE(reporter.busy());
}

TEST_F(FindingReporterTest, ADomainWithMuchToTellIsLookedUpOnce) {
  world.dns.Txt(kName, {kRecord}).After(5s);
  Outcome session;
  session.domain = kDomain;
  for (int i = 0; i < 1000; ++i) reporter.RecordSession(session);
  world.Pass(11s);
  EXPECT_EQ(recorded.size(), 1000u);
  EXPECT_LE(world.dns.queries(), 2);
}

TEST_F(FindingReporterTest, ASlowDomainKeepsNobodyElseWaiting) {
  world.dns.Txt(kName, {kRecord}).Never();
  for (int i = 0; i < 1000; ++i) ReportOf(kDomain);
  world.dns.Txt("_smtp._tls.other.example", {kRecord});
  ReportOf("other.example", {}, 1s);
  ASSERT_EQ(recorded.size(), 1u);
  EXPECT_EQ(recorded[0].domain, "other.example");
}

TEST_F(FindingReporterTest, WhoFillsTheRoomGivesWay) {
  world.dns.Txt(kName, {kRecord}).After(5s);
  world.dns.Txt("_smtp._tls.other.example", {kRecord}).After(5s);
  for (int i = 0; i < 100; ++i) ReportOf(kDomain, {}, 0s, 1 << 20);
  ReportOf("other.example");
  EXPECT_EQ(Dropped(), 85) << "16 MiB wait";
  Outcome session;
  session.domain = kDomain;
  session.source = OutcomeSource::kLog;
  reporter.RecordSession(session);
  EXPECT_EQ(Dropped(), 85) << "sessions wait apart";
}

TEST_F(FindingReporterTest, WhatIsGivenUpIsCounted) {
  world.dns.Txt(kName, {kRecord}).Never();
  for (int i = 0; i < 150; ++i) Report(0s);
  EXPECT_EQ(reporter.GiveUp(), 150u);
  EXPECT_EQ(Dropped(), 150);
}

// --- What is found again.

TEST_F(FindingReporterTest, WhatFailsNoSessionIsToldOnceADay) {
  world.dns.Txt(kName, {kRecord});
  for (int day = 1; day <= 3; ++day) {
    for (int i = 0; i < 5; ++i)
      ReportOf(kDomain, {}, 1s, static_cast<size_t>(i));  // of any policy
    EXPECT_EQ(recorded.size(), static_cast<size_t>(day));
    world.Pass(24h);
  }
  EXPECT_EQ(
      world.metrics.Counter("postern_findings_repeated_total", "").Value(), 12);
}

TEST_F(FindingReporterTest, WhatFailsASessionIsToldEachTime) {
  world.dns.Txt(kName, {kRecord});
  for (int i = 0; i < 5; ++i) {
    Finding finding;
    finding.outcome.domain = kDomain;
    finding.outcome.source = OutcomeSource::kPolicy;
    finding.outcome.failed = 1;
    finding.outcome.failure_details.emplace_back();
    reporter.Record(std::move(finding));
    world.Pass(1s);
  }
  EXPECT_EQ(recorded.size(), 5u);
}

TEST_F(FindingReporterTest, SessionsOfTheLogNeedTheRecordToo) {
  world.dns.Txt(kName, {kRecord});
  Outcome session;
  session.domain = kDomain;
  session.source = OutcomeSource::kLog;
  session.successful = 1;
  reporter.RecordSession(session);
  session.domain = "other.example";
  reporter.RecordSession(session);
  world.Pass(1s);
  ASSERT_EQ(recorded.size(), 1u);
  EXPECT_EQ(recorded[0].source, OutcomeSource::kLog);
  EXPECT_EQ(recorded[0].record, kRecord);
}

TEST_F(FindingReporterTest, NobodyIsAskedWhereNobodyRecords) {
  reporter.RecordTo(nullptr);
  Report();
  EXPECT_EQ(world.dns.queries(), 0);
}

}  // namespace
}  // namespace postern
