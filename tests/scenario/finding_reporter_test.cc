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
    Finding finding;
    finding.outcome.domain = kDomain;
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

TEST_F(FindingReporterTest, AHundredAreLookedUpAtOnce) {
  world.dns.Txt(kName, {kRecord}).After(5s);
  for (int i = 0; i < 150; ++i) Report(0s);
  EXPECT_TRUE(reporter.busy());
  world.Pass(6s);
  EXPECT_EQ(recorded.size(), 100u);
  world.Pass(5s);
  EXPECT_EQ(recorded.size(), 150u);
  EXPECT_FALSE(reporter.busy());
}

TEST_F(FindingReporterTest, AFloodIsReportedAsFarAsTheRoomGoes) {
  world.dns.Txt(kName, {kRecord}).After(5s);
  for (int i = 0; i < 100; ++i) Report(0s);
  Outcome large;
  large.domain = kDomain;
  large.policy_string = {std::string(1 << 20, 'x')};
  for (int i = 0; i < 100; ++i) reporter.RecordSession(large);
  world.Pass(100s);
  EXPECT_EQ(recorded.size(), 116u) << "16 MiB wait";
  EXPECT_EQ(Dropped(), 84);
}

TEST_F(FindingReporterTest, WhatIsGivenUpIsCounted) {
  world.dns.Txt(kName, {kRecord}).Never();
  for (int i = 0; i < 150; ++i) Report(0s);
  EXPECT_EQ(reporter.GiveUp(), 150u);
  EXPECT_EQ(Dropped(), 150);
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
