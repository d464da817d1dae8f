// The MTA-STS policy in force: discovery, fetch, memory.
#include "policy-daemon/sts_lookup.h"

#include <gtest/gtest.h>

#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr int kDay = 86400;
constexpr int kWeek = 7 * kDay;
const char* const kDomain = "example.com";
const char* const kTxtName = "_mta-sts.example.com";
const char* const kHost = "mta-sts.example.com";

class StsLookupTest : public testing::Test {
 protected:
  // A domain with an enforce policy, in every way as it should be.
  StsLookupTest() {
    Publish("1");
    dns.A(kHost, "8.8.8.8");
    Serve(PolicyText("enforce", "mx.example.com", kWeek));
    Restart({});
  }
  void TearDown() override { world.End(); }

  void Restart(StsSettings settings) {
    sts.reset();
    sts.emplace(
        StsLookup::World{world.loop.get_executor(), world.clock, dns, https,
                         world.store, world.outcomes, world.metrics},
        settings);
  }
  // The TXT record, with an id.
  FakeAnswer& Publish(const std::string& id) {
    return dns.Txt(kTxtName, {"v=STSv1; id=" + id}).Insecure();
  }
  FakeSite& Serve(const std::string& body) { return https.Serve(kHost, body); }

  // A question whose facts are watched as they come.
  struct Question {
    std::shared_ptr<std::vector<StsFacts>> stages;
    Started<bool> end;
    const StsFacts& facts() const { return stages->back(); }
    bool answered() const {
      return !stages->empty() && facts().state != StsState::kPending;
    }
  };
  Question Ask(const std::string& domain = kDomain) {
    Question question{std::make_shared<std::vector<StsFacts>>(), {}};
    question.end = world.Start(RunOne(domain, question.stages));
    return question;
  }
  // The facts when all is told.
  StsFacts Learn(const std::string& domain = kDomain) {
    const auto stages = std::make_shared<std::vector<StsFacts>>();
    world.Run(RunOne(domain, stages));
    return stages->back();
  }
  void ExpectNoPolicy(ResultType type, const std::string& reason) {
    const StsFacts facts = Learn();
    EXPECT_EQ(facts.state, StsState::kOther);
    EXPECT_EQ(facts.fetch, StsFetch::kFailed);
    EXPECT_NE(facts.fetch_reason.find(reason), std::string::npos)
        << facts.fetch_reason;
    EXPECT_EQ(facts.policy, nullptr);
    ASSERT_EQ(world.outcomes.all.size(), 1u);
    EXPECT_EQ(world.outcomes.all[0].type, type);
    EXPECT_EQ(world.outcomes.all[0].domain, kDomain);
    EXPECT_FALSE(world.outcomes.all[0].session_failed);
    EXPECT_TRUE(world.store.entries[kDomain].failure);
  }
  // A policy is remembered, and nothing is due.
  void Remember(int max_age = kWeek) {
    Serve(PolicyText("enforce", "mx.example.com", max_age));
    ASSERT_EQ(Learn().state, StsState::kEnforce);
    ASSERT_EQ(https.fetches(), 1);
  }
  // The remembered policy is in force, told at once.
  void ExpectRemembered() {
    const Question question = Ask();
    ASSERT_TRUE(question.answered());
    EXPECT_EQ(question.facts().state, StsState::kEnforce);
    EXPECT_TRUE(question.facts().remembered);
    EXPECT_EQ(question.facts().policy->mx,
              std::vector<std::string>{"mx.example.com"});
    world.Pass(90s);
    EXPECT_EQ(question.facts().state, StsState::kEnforce);
  }

  double RecordFailures() {
    return world.metrics
        .Counter("postern_sts_record_failures_total",
                 "MTA-STS TXT lookups that failed with no policy remembered")
        .Value();
  }

  FakeWorld world;
  FakeResolver& dns = world.dns;
  FakeHttps& https = world.https;
  std::optional<StsLookup> sts;

 private:
  Awaitable<bool> RunOne(std::string domain,
                         std::shared_ptr<std::vector<StsFacts>> stages) {
    StsLookup::Publish publish = [stages](const StsFacts& facts) {
      stages->push_back(facts);
    };
    co_await sts->Run(std::move(domain), std::move(publish));
    co_return true;
  }
};

using StsDiscoveryTest = StsLookupTest;
using StsFetchTest = StsLookupTest;
using StsMemoryTest = StsLookupTest;
using StsRefetchTest = StsLookupTest;
using StsFailureTest = StsLookupTest;
using StsLimitTest = StsLookupTest;

// --- Discovery (RFC 8461 section 3.1).

TEST_F(StsDiscoveryTest, WithoutARecordThereIsNoPolicyAndNoFetch) {
  dns.NxDomain(kTxtName, DnsType::kTxt).Ttl(77);
  const StsFacts facts = Learn();
  EXPECT_EQ(facts.state, StsState::kOther);
  EXPECT_EQ(facts.txt, StsTxt::kAbsent);
  EXPECT_EQ(facts.txt_ttl, 77s);
  EXPECT_EQ(https.fetches(), 0);
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(StsDiscoveryTest, ForeignRecordsAreNoPolicy) {
  dns.Txt(kTxtName, {"v=STSv10; id=1", "hello"});
  EXPECT_EQ(Learn().txt, StsTxt::kAbsent);
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsDiscoveryTest, ForeignRecordsBesideTheOneDoNoHarm) {
  dns.Txt(kTxtName, {"v=spf1 -all", "v=STSv1; id=1;"});
  EXPECT_EQ(Learn().state, StsState::kEnforce);
}

TEST_F(StsDiscoveryTest, AnInvalidRecordIsNoPolicy) {
  dns.Txt(kTxtName, {"v=STSv1; id=not-alphanumeric"});
  const StsFacts facts = Learn();
  EXPECT_EQ(facts.state, StsState::kOther);
  EXPECT_EQ(facts.txt, StsTxt::kInvalid);
  EXPECT_FALSE(facts.txt_reason.empty());
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsDiscoveryTest, SeveralRecordsAreNoPolicy) {
  dns.Txt(kTxtName, {"v=STSv1; id=1", "v=STSv1; id=2"});
  EXPECT_EQ(Learn().txt, StsTxt::kInvalid);
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsDiscoveryTest, AFailedLookupCountsAsNoPolicy) {
  dns.Fail(kTxtName, DnsType::kTxt, "timed out");
  const StsFacts facts = Learn();
  EXPECT_EQ(facts.state, StsState::kOther);
  EXPECT_EQ(facts.txt, StsTxt::kFailed);
  EXPECT_EQ(facts.txt_reason, "timed out");
  EXPECT_EQ(https.fetches(), 0);
  EXPECT_EQ(RecordFailures(), 1);
}

// --- The policy file (section 3.3).

TEST_F(StsFetchTest, AnEnforcePolicyIsInForce) {
  const StsFacts facts = Learn();
  EXPECT_EQ(facts.state, StsState::kEnforce);
  EXPECT_EQ(facts.fetch, StsFetch::kDone);
  EXPECT_FALSE(facts.remembered);
  EXPECT_EQ(facts.id, "1");
  EXPECT_EQ(facts.expires_at - facts.fetched_at, Seconds(kWeek));
  const auto& stored = world.store.entries[kDomain];
  ASSERT_TRUE(stored.policy);
  EXPECT_EQ(stored.policy->id, "1");
  EXPECT_FALSE(stored.failure);
}

TEST_F(StsFetchTest, TheRequestIsWhatTheRfcSays) {
  StsSettings settings;
  settings.port = 8443;
  Restart(settings);
  Learn();
  ASSERT_EQ(https.fetches(), 1);
  const HttpsRequest& request = https.requests[0];
  EXPECT_EQ(request.host, kHost);
  EXPECT_EQ(request.address.ToString(), "8.8.8.8");
  EXPECT_EQ(request.port, 8443);
  EXPECT_EQ(request.path, "/.well-known/mta-sts.txt");
  EXPECT_EQ(request.max_body, 65536u);
  EXPECT_EQ(request.deadline - https.times[0], 60s);
}

TEST_F(StsFetchTest, TestingAndNoneAreOther) {
  for (const char* mode : {"testing", "none"}) {
    world.store.entries.clear();
    Serve(PolicyText(mode, "mx.example.com", kWeek));
    const StsFacts facts = Learn();
    EXPECT_EQ(facts.state, StsState::kOther) << mode;
    EXPECT_EQ(facts.fetch, StsFetch::kDone) << mode;
    EXPECT_NE(facts.policy, nullptr) << mode;
    EXPECT_TRUE(world.store.entries[kDomain].policy) << mode;
  }
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(StsFetchTest, ParametersOfTheMediaTypeDoNotMatter) {
  Serve(PolicyText("enforce", "mx.example.com", kWeek))
      .Type("Text/Plain ; charset=utf-8");
  EXPECT_EQ(Learn().state, StsState::kEnforce);
}

TEST_F(StsFetchTest, NotFoundIsAFetchError) {
  Serve("not here").Status(404);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "404");
}

TEST_F(StsFetchTest, ARedirectIsNotFollowed) {
  Serve(PolicyText("enforce", "mx.example.com", kWeek)).Status(301);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "301");
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(StsFetchTest, OnlyStatus200IsValid) {
  Serve(PolicyText("enforce", "mx.example.com", kWeek)).Status(203);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "203");
}

TEST_F(StsFetchTest, AnotherMediaTypeIsAFetchError) {
  Serve(PolicyText("enforce", "mx.example.com", kWeek)).Type("text/html");
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "text/html");
}

TEST_F(StsFetchTest, AnEncodedBodyIsAFetchError) {
  Serve(PolicyText("enforce", "mx.example.com", kWeek)).Encoding("gzip");
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "encoded");
}

TEST_F(StsFetchTest, AnOversizedBodyIsAFetchError) {
  Serve(PolicyText("enforce", "mx.example.com", kWeek) +
        std::string(65536, '\n'));
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "");
}

TEST_F(StsFetchTest, ABadCertificateIsToldApart) {
  https.Fail(kHost, HttpsFailure::kCertificate);
  ExpectNoPolicy(ResultType::kStsWebpkiInvalid, "8.8.8.8");
}

TEST_F(StsFetchTest, AnInvalidPolicyIsToldApart) {
  Serve(PolicyText("enforce", "192.0.2.1", kWeek));
  ExpectNoPolicy(ResultType::kStsPolicyInvalid, "invalid policy");
}

TEST_F(StsFetchTest, APolicyHostWithoutAddressIsAFetchError) {
  dns.NxDomain(kHost, DnsType::kA);
  dns.NxDomain(kHost, DnsType::kAaaa);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "no address");
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsFetchTest, AFailedAddressLookupIsAFetchErrorThatSaysSo) {
  dns.Fail(kHost, DnsType::kA, "SERVFAIL");
  dns.Fail(kHost, DnsType::kAaaa, "SERVFAIL");
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "SERVFAIL");
}

TEST_F(StsFetchTest, TheNextAddressIsTriedWhereOneRefuses) {
  dns.Addresses(kHost, {"8.8.8.8", "8.8.4.4"});
  https.Fail(kHost, HttpsFailure::kConnect, "8.8.8.8");
  EXPECT_EQ(Learn().state, StsState::kEnforce);
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(StsFetchTest, AnAddressThatDoesNotAnswerLeavesTimeForTheNext) {
  dns.Addresses(kHost, {"8.8.8.8", "8.8.4.4"});
  https.BlackHole(kHost, "8.8.8.8");
  const Question question = Ask();
  world.Pass(6s);  // less than the answer may take
  EXPECT_TRUE(question.answered());
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

TEST_F(StsFetchTest, EveryAddressOfBothFamiliesIsTried) {
  dns.Addresses(kHost, {"8.8.8.8", "8.8.4.4"});
  dns.Aaaa(kHost, "2001:4860:4860::8888");
  https.Fail(kHost, HttpsFailure::kConnect);
  https.Serve(kHost, PolicyText("enforce", "mx.example.com", kWeek),
              "2001:4860:4860::8888");
  EXPECT_EQ(Learn().state, StsState::kEnforce);
  EXPECT_EQ(https.fetches(), 3);
}

TEST_F(StsFetchTest, ASlowAaaaIsNotWaitedForLong) {
  dns.NoData(kHost, DnsType::kAaaa).Never();
  const Question question = Ask();
  world.Pass(1s);
  EXPECT_TRUE(question.answered());
}

TEST_F(StsFetchTest, ASlowAIsNotWaitedForLong) {
  dns.NoData(kHost, DnsType::kA).Never();
  dns.Aaaa(kHost, "2001:4860:4860::8888");
  const Question question = Ask();
  world.Pass(1s);
  EXPECT_TRUE(question.answered());
}

TEST_F(StsFetchTest, PrivateAddressesAreRefused) {
  for (const char* address : {"127.0.0.1", "10.1.2.3", "192.168.1.1",
                              "169.254.1.1", "192.0.2.1", "100.64.0.1"}) {
    world.store.entries.clear();
    dns.A(kHost, address);
    const StsFacts facts = Learn();
    EXPECT_EQ(facts.state, StsState::kOther) << address;
    EXPECT_NE(facts.fetch_reason.find("sts.allow_private"), std::string::npos)
        << facts.fetch_reason;
  }
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(StsFetchTest, APrivateAddressBesideAGlobalOneIsLeftOut) {
  dns.Addresses(kHost, {"10.1.2.3", "8.8.8.8"});
  EXPECT_EQ(Learn().state, StsState::kEnforce);
  ASSERT_EQ(https.fetches(), 1);
  EXPECT_EQ(https.requests[0].address.ToString(), "8.8.8.8");
}

TEST_F(StsFetchTest, AnAllowedPrefixIsNotRefused) {
  StsSettings settings;
  settings.address_filter.allowed = {IpPrefix::Parse("10.1.0.0/16").value()};
  Restart(settings);
  dns.A(kHost, "10.1.2.3");
  EXPECT_EQ(Learn().state, StsState::kEnforce);
  dns.A("mta-sts.example.org", "10.2.0.1");
  dns.Txt("_mta-sts.example.org", {"v=STSv1; id=1"});
  EXPECT_EQ(Learn("example.org").state, StsState::kOther);
}

TEST_F(StsFetchTest, ADrippingHostIsGivenUpAfterTheFetchTimeout) {
  https.Drip(kHost);
  const Question question = Ask();
  world.Pass(59s);
  EXPECT_FALSE(question.answered());
  world.Pass(1s);
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(question.facts().fetch, StsFetch::kFailed);
}

TEST_F(StsFetchTest, MaxAge0ServesTheQuestionAtHandAndIsNotKept) {
  Serve(PolicyText("enforce", "mx.example.com", 0));
  EXPECT_EQ(Learn().state, StsState::kEnforce);
  EXPECT_FALSE(world.store.entries.contains(kDomain));
}

// --- What is remembered outlives every outage (principle 3).

TEST_F(StsMemoryTest, ARememberedPolicyAppliesBeforeAnyAnswer) {
  Remember();
  dns.NoData(kTxtName, DnsType::kTxt).Never();
  const Question question = Ask();
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
  https.Fail(kHost, HttpsFailure::kConnect);
  ExpectRemembered();
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(StsMemoryTest, OutlivesAPolicyHostWithoutAddress) {
  Remember();
  Publish("2");
  dns.NxDomain(kHost, DnsType::kA);
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
  https.Fail(kHost, HttpsFailure::kCertificate);
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
  https.Fail(kHost, HttpsFailure::kConnect);
  world.Pass(Seconds(kDay - 1) - world.clock.since_start());
  const Question last = Ask();
  EXPECT_EQ(last.facts().state, StsState::kEnforce);
  world.Pass(1s);
  EXPECT_EQ(Learn().state, StsState::kOther);
}

TEST_F(StsMemoryTest, AnExpiredPolicyIsFetchedAgainAndWaitedFor) {
  Remember(kDay);
  world.Pass(25h);
  Serve(PolicyText("enforce", "mx2.example.com", kDay)).After(2s);
  const Question question = Ask();
  EXPECT_FALSE(question.answered());
  world.Pass(2s);
  ASSERT_TRUE(question.answered());
  EXPECT_EQ(question.facts().policy->mx[0], "mx2.example.com");
}

TEST_F(StsMemoryTest, ASlowStoreIsWaitedFor) {
  Remember();
  world.store.delay = 2s;
  dns.NxDomain(kTxtName, DnsType::kTxt);
  const Question question = Ask();
  EXPECT_FALSE(question.answered());
  world.Pass(2s);
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

// --- Fetching again.

TEST_F(StsRefetchTest, AChangedIdIsFetchedInTheBackground) {
  Remember();
  Publish("2");
  Serve(PolicyText("enforce", "mx2.example.com", kWeek)).After(20s);
  const Question question = Ask();
  ASSERT_TRUE(question.end.done());
  EXPECT_EQ(question.facts().policy->mx[0], "mx.example.com");
  EXPECT_EQ(question.facts().fetch, StsFetch::kPending);
  EXPECT_EQ(https.in_flight(), 1);
  world.Pass(20s);
  const Question later = Ask();
  EXPECT_EQ(later.facts().policy->mx[0], "mx2.example.com");
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(StsRefetchTest, TheOwnerLeavesByModeNone) {
  Remember();
  Publish("2");
  Serve(PolicyText("none", "", kDay));
  Ask();
  world.Pass(1s);
  EXPECT_EQ(Learn().state, StsState::kOther);
}

TEST_F(StsRefetchTest, TheOwnerLeavesByMaxAge0) {
  // RFC 8461 section 8.3: "none" with a short max_age. The newer policy
  // replaces the older one, however short it lives.
  Remember();
  Publish("2");
  Serve(PolicyText("none", "", 0));
  Ask();
  world.Pass(1s);
  EXPECT_EQ(Learn().state, StsState::kOther);
}

TEST_F(StsRefetchTest, WhateverTheIdSaysItIsFetchedAgainWithinADay) {
  // At a point between 1/3 and 2/3 of min(max_age, 24 h).
  Remember(kWeek);
  const auto& stored = *world.store.entries[kDomain].policy;
  const auto age = stored.refetch_at - stored.fetched_at;
  EXPECT_GE(age, Seconds(kDay / 3));
  EXPECT_LE(age, Seconds(kDay * 2 / 3));
  world.Pass(age - Seconds(1) - world.clock.since_start());
  Ask();
  EXPECT_EQ(https.fetches(), 1);
  world.Pass(1s);
  Serve(PolicyText("enforce", "mx2.example.com", kWeek));
  ExpectRemembered();
  EXPECT_EQ(https.fetches(), 2);
  EXPECT_EQ(Ask().facts().policy->mx[0], "mx2.example.com");
}

TEST_F(StsRefetchTest, ThePointDiffersAndFitsAShortMaxAge) {
  std::map<WallTime, int> points;
  for (int i = 0; i < 20; ++i) {
    world.store.entries.clear();
    Serve(PolicyText("enforce", "mx.example.com", 3600));
    const StsFacts facts = Learn();
    const WallTime point = world.store.entries[kDomain].policy->refetch_at;
    EXPECT_GE(point - facts.fetched_at, Seconds(1200));
    EXPECT_LE(point - facts.fetched_at, Seconds(2400));
    ++points[point];
  }
  EXPECT_GT(points.size(), 1u);
}

TEST_F(StsRefetchTest, ItIsFetchedAgainAlsoWhenTheTxtLookupFails) {
  // Who can only block DNS must not ride out the max_age.
  Remember(kWeek);
  dns.Fail(kTxtName, DnsType::kTxt);
  world.Pass(17h);
  ExpectRemembered();
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(StsRefetchTest, AProvenAbsenceDoesNotExtendTheLifetime) {
  Remember(kWeek);
  dns.NoData(kTxtName, DnsType::kTxt);
  world.Pass(17h);
  ExpectRemembered();
  EXPECT_EQ(world.store.entries[kDomain].policy->expires_at,
            FakeClock::kWallStart + Seconds(kWeek));
}

TEST_F(StsRefetchTest, AFailedRefetchKeepsThePolicyAndWaitsFiveMinutes) {
  Remember();
  Publish("2");
  https.Fail(kHost, HttpsFailure::kConnect);
  Ask();
  EXPECT_EQ(https.fetches(), 2);
  world.Pass(299s);
  Ask();
  EXPECT_EQ(https.fetches(), 2);
  world.Pass(1s);
  ExpectRemembered();
  EXPECT_EQ(https.fetches(), 3);
}

TEST_F(StsRefetchTest, ABackgroundFetchRecordsNoOutcome) {
  Remember();
  Publish("2");
  https.Fail(kHost, HttpsFailure::kConnect);
  Ask();
  world.Pass(1s);
  EXPECT_TRUE(world.outcomes.all.empty());
}

// --- A fetch that failed.

TEST_F(StsFailureTest, IsNotWaitedForAgain) {
  https.Drip(kHost);
  Ask();
  world.Pass(60s);
  EXPECT_EQ(https.fetches(), 1);
  const Question question = Ask();
  ASSERT_TRUE(question.end.done());
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(question.facts().fetch, StsFetch::kSkipped);
  EXPECT_FALSE(question.facts().fetch_reason.empty());
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(StsFailureTest, IsRepeatedAtMostEveryFiveMinutes) {
  https.Fail(kHost, HttpsFailure::kConnect);
  Learn();
  for (int second = 0; second < 3600; second += 10) {
    EXPECT_EQ(Ask().facts().state, StsState::kOther);
    world.Pass(10s);
  }
  EXPECT_EQ(https.fetches(), 12);
}

TEST_F(StsFailureTest, IsRepeatedInTheBackgroundAndThenServes) {
  https.Fail(kHost, HttpsFailure::kConnect);
  Learn();
  world.Pass(5min);
  Serve(PolicyText("enforce", "mx.example.com", kWeek)).After(10s);
  const Question question = Ask();
  ASSERT_TRUE(question.end.done());
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(question.facts().fetch, StsFetch::kPending);
  world.Pass(10s);
  EXPECT_EQ(Learn().state, StsState::kEnforce);
  EXPECT_FALSE(world.store.entries[kDomain].failure);
}

TEST_F(StsFailureTest, ANewIdIsWaitedForAgain) {
  https.Fail(kHost, HttpsFailure::kConnect);
  Learn();
  Publish("2");
  Serve(PolicyText("enforce", "mx.example.com", kWeek)).After(3s);
  const Question question = Ask();
  EXPECT_FALSE(question.answered());
  world.Pass(3s);
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

TEST_F(StsFailureTest, IsRememberedForADayPerId) {
  https.Fail(kHost, HttpsFailure::kConnect);
  Learn();
  // Repeats do not make it younger.
  for (int hour = 1; hour < 24; ++hour) {
    world.Pass(1h);
    EXPECT_TRUE(Ask().end.done());
  }
  world.Pass(1h);
  https.Drip(kHost);
  EXPECT_FALSE(Ask().answered());
}

TEST_F(StsFailureTest, AlsoAfterADayRepeatsAreFiveMinutesApart) {
  https.Fail(kHost, HttpsFailure::kConnect);
  while (world.clock.since_start() < 25h) {
    Ask();
    world.Pass(7s);
  }
  for (size_t i = 1; i < https.times.size(); ++i)
    EXPECT_GE(https.times[i] - https.times[i - 1], 300s) << i;
}

TEST_F(StsFailureTest, EveryQuestionOfTheSameMomentSharesTheFetch) {
  https.Serve(kHost, PolicyText("enforce", "mx.example.com", kWeek)).After(3s);
  std::vector<Question> questions;
  for (int i = 0; i < 10; ++i) questions.push_back(Ask());
  world.Pass(3s);
  for (const Question& question : questions)
    EXPECT_EQ(question.facts().state, StsState::kEnforce);
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(StsFailureTest, ANewIdDuringAFetchDoesNotStartASecond) {
  https.Drip(kHost);
  Ask();
  world.Pass(1s);
  Publish("2");
  Ask();
  world.Pass(1s);
  EXPECT_EQ(https.in_flight(), 1);
}

// --- Limits.

class StsCrowdTest : public StsLookupTest {
 protected:
  // Domain `i` with a policy host at `address`.
  std::string Add(int i, const std::string& address) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    dns.Txt("_mta-sts." + domain, {"v=STSv1; id=1"});
    dns.A("mta-sts." + domain, address);
    return domain;
  }
};

TEST_F(StsCrowdTest, AtMost16FetchesAtOneAddress) {
  for (int i = 0; i < 40; ++i) {
    const std::string domain = Add(i, "8.8.8.8");
    https.Serve("mta-sts." + domain, PolicyText("none", "", kDay)).After(10s);
    Ask(domain);
  }
  EXPECT_EQ(https.in_flight(), 16);
  world.Pass(60s);
  EXPECT_EQ(https.most_at_one_address(), 16);
  EXPECT_EQ(https.fetches(), 40);
}

TEST_F(StsCrowdTest, OneSlowAddressDoesNotHinderAnother) {
  dns.A(kHost, "8.8.4.4");
  for (int i = 0; i < 40; ++i) {
    const std::string domain = Add(i, "8.8.8.8");
    https.Drip("mta-sts." + domain);
    Ask(domain);
  }
  EXPECT_EQ(Learn().state, StsState::kEnforce);
}

TEST_F(StsCrowdTest, AFetchMayEndBeforeItsStartReturns) {
  dns.at_once = true;
  dns.Fail(kHost, DnsType::kA);
  dns.Fail(kHost, DnsType::kAaaa);
  EXPECT_EQ(Learn().fetch, StsFetch::kFailed);
}

TEST_F(StsCrowdTest, AtMostMaxFetchesInAll) {
  StsSettings settings;
  settings.max_fetches = 3;
  Restart(settings);
  for (int i = 0; i < 9; ++i) {
    const std::string domain = Add(i, "8.8.8." + std::to_string(i));
    https.Serve("mta-sts." + domain, PolicyText("none", "", kDay)).After(10s);
    Ask(domain);
  }
  EXPECT_EQ(https.in_flight(), 3);
  world.Pass(40s);
  EXPECT_EQ(https.most_in_flight(), 3);
  EXPECT_EQ(https.fetches(), 9);
}

TEST_F(StsCrowdTest, AFetchThatDidNotGetItsTurnIsNotTheOwnersFault) {
  // No request was made: nothing to report to the domain's owner.
  StsSettings settings;
  settings.max_fetches = 1;
  Restart(settings);
  https.Drip("mta-sts." + Add(1, "8.8.4.4"));
  Ask("d1.example");
  https.Drip("mta-sts." + Add(2, "8.8.4.4"));
  Ask("d2.example");
  const Question question = Ask();
  world.Pass(61s);
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(https.fetches(kHost), 0);
  for (const Outcome& outcome : world.outcomes.all)
    EXPECT_NE(outcome.domain, kDomain) << outcome.reason;
}

}  // namespace
}  // namespace postern
