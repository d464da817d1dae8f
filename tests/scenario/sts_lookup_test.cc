// The MTA-STS policy in force: discovery, memory, failures.
#include "policy-daemon/sts_lookup.h"

#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class StsLookupTest : public EngineTest {
 protected:
  StsLookupTest() { StsDomain(); }

  // A policy is remembered, and nothing is due.
  void Remember(int max_age = kWeek) {
    ServePolicy("enforce", "mx.example.com", max_age);
    ASSERT_EQ(LearnSts().state, StsState::kEnforce);
    ASSERT_EQ(https.fetches(), 1);
  }
  // The remembered policy is in force, told at once.
  void ExpectRemembered() {
    const StsQuestion question = AskSts();
    ASSERT_TRUE(question.answered());
    EXPECT_EQ(question.facts().state, StsState::kEnforce);
    EXPECT_TRUE(question.facts().remembered);
    EXPECT_EQ(question.facts().policy->mx,
              std::vector<std::string>{"mx.example.com"});
    world.Pass(90s);
    EXPECT_EQ(question.facts().state, StsState::kEnforce);
  }
  double RecordFailures() { return Count("postern_sts_record_failures_total"); }
};

using StsDiscoveryTest = StsLookupTest;
using StsMemoryTest = StsLookupTest;
using StsNewIdTest = StsLookupTest;
using StsFailureTest = StsLookupTest;

// --- Discovery (RFC 8461 section 3.1).

TEST_F(StsDiscoveryTest, WithoutARecordThereIsNoPolicyAndNoFetch) {
  dns.NxDomain(kTxtName, DnsType::kTxt).Ttl(77);
  const StsFacts facts = LearnSts();
  EXPECT_EQ(facts.state, StsState::kOther);
  EXPECT_EQ(facts.txt, StsTxt::kAbsent);
  EXPECT_EQ(facts.txt_ttl, 77s);
  EXPECT_EQ(https.fetches(), 0);
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(StsDiscoveryTest, ForeignRecordsAreNoPolicy) {
  dns.Txt(kTxtName, {"v=STSv10; id=1", "hello"});
  EXPECT_EQ(LearnSts().txt, StsTxt::kAbsent);
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsDiscoveryTest, ForeignRecordsBesideTheOneDoNoHarm) {
  dns.Txt(kTxtName, {"v=spf1 -all", "v=STSv1; id=1;"});
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
}

TEST_F(StsDiscoveryTest, AnInvalidRecordIsNoPolicy) {
  dns.Txt(kTxtName, {"v=STSv1; id=not-alphanumeric"});
  const StsFacts facts = LearnSts();
  EXPECT_EQ(facts.state, StsState::kOther);
  EXPECT_EQ(facts.txt, StsTxt::kInvalid);
  EXPECT_FALSE(facts.txt_reason.empty());
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsDiscoveryTest, SeveralRecordsAreNoPolicy) {
  dns.Txt(kTxtName, {"v=STSv1; id=1", "v=STSv1; id=2"});
  EXPECT_EQ(LearnSts().txt, StsTxt::kInvalid);
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsDiscoveryTest, AFailedLookupCountsAsNoPolicy) {
  dns.Fail(kTxtName, DnsType::kTxt, "timed out");
  const StsFacts facts = LearnSts();
  EXPECT_EQ(facts.state, StsState::kOther);
  EXPECT_EQ(facts.txt, StsTxt::kFailed);
  EXPECT_EQ(facts.txt_reason, "timed out");
  EXPECT_EQ(https.fetches(), 0);
  EXPECT_EQ(RecordFailures(), 1);
}

// --- What is remembered outlives every outage (principle 3).

TEST_F(StsMemoryTest, ARememberedPolicyAppliesBeforeAnyAnswer) {
  Remember();
  dns.NoData(kTxtName, DnsType::kTxt).Never();
  const StsQuestion question = AskSts();
  ASSERT_TRUE(question.answered());
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

TEST_F(StsMemoryTest, TheSameIdIsNotFetchedAgain) {
  Remember();
  world.Pass(1h);
  ExpectRemembered();
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(StsMemoryTest, OutlivesARecordThatIsGone) {
  Remember();
  dns.NoData(kTxtName, DnsType::kTxt);
  ExpectRemembered();
}

TEST_F(StsMemoryTest, OutlivesNxdomain) {
  Remember();
  dns.NxDomain(kTxtName, DnsType::kTxt);
  ExpectRemembered();
}

TEST_F(StsMemoryTest, OutlivesServfail) {
  Remember();
  dns.Fail(kTxtName, DnsType::kTxt);
  ExpectRemembered();
  EXPECT_EQ(RecordFailures(), 0);  // nobody lost anything by it
}

TEST_F(StsMemoryTest, OutlivesAnInvalidRecord) {
  Remember();
  dns.Txt(kTxtName, {"v=STSv1; id=2", "v=STSv1; id=3"});
  ExpectRemembered();
}

TEST_F(StsMemoryTest, OutlivesAPolicyHostThatIsDown) {
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  ExpectRemembered();
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(StsMemoryTest, OutlivesAPolicyHostWithoutAddress) {
  Remember();
  Publish("2");
  dns.NxDomain(kPolicyHost, DnsType::kA);
  ExpectRemembered();
}

TEST_F(StsMemoryTest, OutlivesNotFound) {
  Remember();
  Publish("2");
  Serve("").Status(404);
  ExpectRemembered();
}

TEST_F(StsMemoryTest, OutlivesABadCertificate) {
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kCertificate);
  ExpectRemembered();
}

TEST_F(StsMemoryTest, OutlivesAnInvalidNewPolicy) {
  Remember();
  Publish("2");
  Serve("version: STSv1\nmode: enforce\n");
  ExpectRemembered();
}

TEST_F(StsMemoryTest, HoldsUntilMaxAgeAndNotASecondLonger) {
  Remember(kDay);
  dns.Fail(kTxtName, DnsType::kTxt);
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Pass(Seconds(kDay - 1) - world.clock.since_start());
  const StsQuestion last = AskSts();
  EXPECT_EQ(last.facts().state, StsState::kEnforce);
  world.Pass(1s);
  EXPECT_EQ(LearnSts().state, StsState::kOther);
}

TEST_F(StsMemoryTest, AnExpiredPolicyIsFetchedAgainAndWaitedFor) {
  Remember(kDay);
  world.Pass(25h);
  ServePolicy("enforce", "mx2.example.com", kDay).After(2s);
  const StsQuestion question = AskSts();
  EXPECT_FALSE(question.answered());
  world.Pass(2s);
  ASSERT_TRUE(question.answered());
  EXPECT_EQ(question.facts().policy->mx[0], "mx2.example.com");
}

TEST_F(StsMemoryTest, UseIsNotedToTheHour) {
  Remember();
  const WallTime first = Memory().policy->used_at;
  world.Pass(59min);
  AskSts();
  EXPECT_EQ(Memory().policy->used_at, first);
  world.Pass(1min);
  AskSts();
  EXPECT_EQ(Memory().policy->used_at, first + 1h);
}

TEST_F(StsMemoryTest, UseDoesNotPutOffTheNextLook) {
  Remember();
  world.Pass(1h);
  AskSts();
  EXPECT_LE(Memory().policy->check_at, FakeClock::kWallStart + 1h);
}

// --- A changed id.

TEST_F(StsNewIdTest, AChangedIdIsFetchedInTheBackground) {
  Remember();
  Publish("2");
  ServePolicy("enforce", "mx2.example.com", kWeek).After(20s);
  const StsQuestion question = AskSts();
  ASSERT_TRUE(question.end.done());
  EXPECT_EQ(question.facts().policy->mx[0], "mx.example.com");
  EXPECT_EQ(question.facts().fetch, StsFetch::kPending);
  EXPECT_EQ(https.in_flight(), 1);
  world.Pass(20s);
  const StsQuestion later = AskSts();
  EXPECT_EQ(later.facts().policy->mx[0], "mx2.example.com");
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(StsNewIdTest, TheOwnerLeavesByModeNone) {
  Remember();
  Publish("2");
  ServePolicy("none", "", kDay);
  AskSts();
  world.Pass(1s);
  EXPECT_EQ(LearnSts().state, StsState::kOther);
}

TEST_F(StsNewIdTest, TheOwnerLeavesByMaxAge0) {
  // RFC 8461 section 8.3: "none" with a short max_age. The newer policy
  // replaces the older one, however short it lives.
  Remember();
  Publish("2");
  ServePolicy("none", "", 0);
  AskSts();
  world.Pass(1s);
  EXPECT_EQ(LearnSts().state, StsState::kOther);
}

TEST_F(StsNewIdTest, AFailedRefetchKeepsThePolicyAndWaitsFiveMinutes) {
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  AskSts();
  EXPECT_EQ(https.fetches(), 2);
  world.Pass(299s);
  AskSts();
  EXPECT_EQ(https.fetches(), 2);
  world.Pass(1s);
  ExpectRemembered();
  EXPECT_EQ(https.fetches(), 3);
}

// --- A fetch that failed.

TEST_F(StsFailureTest, IsNotWaitedForAgain) {
  https.Drip(kPolicyHost);
  AskSts();
  world.Pass(60s);
  EXPECT_EQ(https.fetches(), 1);
  const StsQuestion question = AskSts();
  ASSERT_TRUE(question.end.done());
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(question.facts().fetch, StsFetch::kSkipped);
  EXPECT_FALSE(question.facts().fetch_reason.empty());
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(StsFailureTest, IsRepeatedAtMostEveryFiveMinutes) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  LearnSts();
  for (int second = 0; second < 3600; second += 10) {
    EXPECT_EQ(AskSts().facts().state, StsState::kOther);
    world.Pass(10s);
  }
  EXPECT_EQ(https.fetches(), 12);
}

TEST_F(StsFailureTest, IsRepeatedInTheBackgroundAndThenServes) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  LearnSts();
  world.Pass(5min);
  ServePolicy().After(10s);
  const StsQuestion question = AskSts();
  ASSERT_TRUE(question.end.done());
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(question.facts().fetch, StsFetch::kPending);
  world.Pass(10s);
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  EXPECT_FALSE(Memory().failure);
}

TEST_F(StsFailureTest, ANewIdIsWaitedForAgain) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  LearnSts();
  Publish("2");
  ServePolicy().After(3s);
  const StsQuestion question = AskSts();
  EXPECT_FALSE(question.answered());
  world.Pass(3s);
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

TEST_F(StsFailureTest, IsRememberedForADayPerId) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  LearnSts();
  // Repeats do not make it younger.
  for (int hour = 1; hour < 24; ++hour) {
    world.Pass(1h);
    EXPECT_TRUE(AskSts().end.done());
  }
  world.Pass(1h);
  https.Drip(kPolicyHost);
  EXPECT_FALSE(AskSts().answered());
}

TEST_F(StsFailureTest, AlsoAfterADayRepeatsAreFiveMinutesApart) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  while (world.clock.since_start() < 25h) {
    AskSts();
    world.Pass(7s);
  }
  for (size_t i = 1; i < https.times.size(); ++i)
    EXPECT_GE(https.times[i] - https.times[i - 1], 300s) << i;
}

TEST_F(StsFailureTest, EveryQuestionOfTheSameMomentSharesTheFetch) {
  https.Serve(kPolicyHost, PolicyText("enforce", "mx.example.com", kWeek))
      .After(3s);
  std::vector<StsQuestion> questions;
  for (int i = 0; i < 10; ++i) questions.push_back(AskSts());
  world.Pass(3s);
  for (const StsQuestion& question : questions)
    EXPECT_EQ(question.facts().state, StsState::kEnforce);
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(StsFailureTest, ANewIdDuringAFetchDoesNotStartASecond) {
  https.Drip(kPolicyHost);
  AskSts();
  world.Pass(1s);
  Publish("2");
  AskSts();
  world.Pass(1s);
  EXPECT_EQ(https.in_flight(), 1);
}

}  // namespace
}  // namespace postern
