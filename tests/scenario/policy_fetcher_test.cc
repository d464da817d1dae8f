// Fetching policy files: what counts as one, and how many at once.
#include "policy-daemon/policy_fetcher.h"

#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class PolicyFetcherTest : public EngineTest {
 protected:
  PolicyFetcherTest() { StsDomain(); }

  void ExpectNoPolicy(ResultType type, const std::string& reason) {
    const StsFacts facts = LearnSts();
    EXPECT_EQ(facts.state, StsState::kOther);
    EXPECT_EQ(facts.fetch, StsFetch::kFailed);
    EXPECT_EQ(facts.fetch_failure, type);
    EXPECT_NE(facts.fetch_reason.find(reason), std::string::npos)
        << facts.fetch_reason;
    EXPECT_EQ(facts.policy, nullptr);
    EXPECT_TRUE(Memory().failure);
  }
};

using FetchLimitTest = PolicyFetcherTest;

// --- The policy file (section 3.3).

TEST_F(PolicyFetcherTest, AnEnforcePolicyIsInForce) {
  const StsFacts facts = LearnSts();
  EXPECT_EQ(facts.state, StsState::kEnforce);
  EXPECT_EQ(facts.fetch, StsFetch::kDone);
  EXPECT_FALSE(facts.remembered);
  EXPECT_EQ(facts.id, "1");
  EXPECT_EQ(facts.expires_at - facts.fetched_at, Seconds(kWeek));
  const auto& stored = Memory();
  ASSERT_TRUE(stored.policy);
  EXPECT_EQ(stored.policy->id, "1");
  EXPECT_FALSE(stored.failure);
}

TEST_F(PolicyFetcherTest, TheRequestIsWhatTheRfcSays) {
  sts_settings.port = 8443;
  Restart();
  LearnSts();
  ASSERT_EQ(https.fetches(), 1);
  const HttpsRequest& request = https.requests[0];
  EXPECT_EQ(request.host, kPolicyHost);
  EXPECT_EQ(request.address.ToString(), "8.8.8.8");
  EXPECT_EQ(request.port, 8443);
  EXPECT_EQ(request.path, "/.well-known/mta-sts.txt");
  EXPECT_EQ(request.max_body, 65536u);
  EXPECT_EQ(request.deadline - https.times[0], 60s);
}

TEST_F(PolicyFetcherTest, TestingAndNoneAreOther) {
  for (const char* mode : {"testing", "none"}) {
    world.store.Clear();
    ServePolicy(mode, "mx.example.com", kWeek);
    const StsFacts facts = LearnSts();
    EXPECT_EQ(facts.state, StsState::kOther) << mode;
    EXPECT_EQ(facts.fetch, StsFetch::kDone) << mode;
    EXPECT_NE(facts.policy, nullptr) << mode;
    EXPECT_TRUE(Memory().policy) << mode;
  }
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(PolicyFetcherTest, ParametersOfTheMediaTypeDoNotMatter) {
  ServePolicy().Type("Text/Plain ; charset=utf-8");
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
}

TEST_F(PolicyFetcherTest, NotFoundIsAFetchError) {
  Serve("not here").Status(404);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "404");
}

TEST_F(PolicyFetcherTest, ARedirectIsNotFollowed) {
  ServePolicy().Status(301);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "301");
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(PolicyFetcherTest, OnlyStatus200IsValid) {
  ServePolicy().Status(203);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "203");
}

TEST_F(PolicyFetcherTest, AnotherMediaTypeIsAFetchError) {
  ServePolicy().Type("text/html");
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "text/html");
}

TEST_F(PolicyFetcherTest, AnEncodedBodyIsAFetchError) {
  ServePolicy().Encoding("gzip");
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "encoded");
}

TEST_F(PolicyFetcherTest, AnOversizedBodyIsAFetchError) {
  Serve(PolicyText("enforce", "mx.example.com", kWeek) +
        std::string(65536, '\n'));
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "");
}

TEST_F(PolicyFetcherTest, ABadCertificateIsToldApart) {
  https.Fail(kPolicyHost, HttpsFailure::kCertificate);
  ExpectNoPolicy(ResultType::kStsWebpkiInvalid, "8.8.8.8");
}

TEST_F(PolicyFetcherTest, AnInvalidPolicyIsToldApart) {
  ServePolicy("enforce", "192.0.2.1", kWeek);
  ExpectNoPolicy(ResultType::kStsPolicyInvalid, "invalid policy");
}

TEST_F(PolicyFetcherTest, APolicyHostWithoutAddressIsAFetchError) {
  dns.NxDomain(kPolicyHost, DnsType::kA);
  dns.NxDomain(kPolicyHost, DnsType::kAaaa);
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "no address");
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(PolicyFetcherTest, AFailedAddressLookupIsAFetchErrorThatSaysSo) {
  dns.Fail(kPolicyHost, DnsType::kA, "SERVFAIL");
  dns.Fail(kPolicyHost, DnsType::kAaaa, "SERVFAIL");
  ExpectNoPolicy(ResultType::kStsPolicyFetchError, "SERVFAIL");
}

TEST_F(PolicyFetcherTest, TheNextAddressIsTriedWhereOneRefuses) {
  dns.Addresses(kPolicyHost, {"8.8.8.8", "8.8.4.4"});
  https.Fail(kPolicyHost, HttpsFailure::kConnect, "8.8.8.8");
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(PolicyFetcherTest, AnAddressThatDoesNotAnswerLeavesTimeForTheNext) {
  dns.Addresses(kPolicyHost, {"8.8.8.8", "8.8.4.4"});
  https.BlackHole(kPolicyHost, "8.8.8.8");
  const StsQuestion question = AskSts();
  world.Pass(6s);  // less than the answer may take
  EXPECT_TRUE(question.answered());
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

TEST_F(PolicyFetcherTest, EveryAddressOfBothFamiliesIsTried) {
  dns.Addresses(kPolicyHost, {"8.8.8.8", "8.8.4.4"});
  dns.Aaaa(kPolicyHost, "2001:4860:4860::8888");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  https.Serve(kPolicyHost, PolicyText("enforce", "mx.example.com", kWeek),
              "8.8.4.4");
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  EXPECT_EQ(https.fetches(), 3);
}

TEST_F(PolicyFetcherTest, ASlowAaaaIsNotWaitedForLong) {
  dns.NoData(kPolicyHost, DnsType::kAaaa).Never();
  const StsQuestion question = AskSts();
  world.Pass(1s);
  EXPECT_TRUE(question.answered());
}

TEST_F(PolicyFetcherTest, ASlowAIsNotWaitedForLong) {
  dns.NoData(kPolicyHost, DnsType::kA).Never();
  dns.Aaaa(kPolicyHost, "2001:4860:4860::8888");
  const StsQuestion question = AskSts();
  world.Pass(1s);
  EXPECT_TRUE(question.answered());
}

TEST_F(PolicyFetcherTest, PrivateAddressesAreRefused) {
  for (const char* address : {"127.0.0.1", "10.1.2.3", "192.168.1.1",
                              "169.254.1.1", "192.0.2.1", "100.64.0.1"}) {
    world.store.Clear();
    dns.A(kPolicyHost, address);
    const StsFacts facts = LearnSts();
    EXPECT_EQ(facts.state, StsState::kOther) << address;
    EXPECT_NE(facts.fetch_reason.find("non-global"), std::string::npos)
        << facts.fetch_reason;
  }
  EXPECT_EQ(https.fetches(), 0);
}

TEST_F(PolicyFetcherTest, APrivateAddressBesideAGlobalOneIsLeftOut) {
  dns.Addresses(kPolicyHost, {"10.1.2.3", "8.8.8.8"});
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  ASSERT_EQ(https.fetches(), 1);
  EXPECT_EQ(https.requests[0].address.ToString(), "8.8.8.8");
}

TEST_F(PolicyFetcherTest, AnAllowedPrefixIsNotRefused) {
  sts_settings.address_filter.allowed = {
      IpPrefix::Parse("10.1.0.0/16").value()};
  Restart();
  dns.A(kPolicyHost, "10.1.2.3");
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  dns.A("mta-sts.example.org", "10.2.0.1");
  dns.Txt("_mta-sts.example.org", {"v=STSv1; id=1"});
  EXPECT_EQ(LearnSts("example.org").state, StsState::kOther);
}

TEST_F(PolicyFetcherTest, ADrippingHostIsGivenUpAfterTheFetchTimeout) {
  https.Drip(kPolicyHost);
  const StsQuestion question = AskSts();
  world.Pass(59s);
  EXPECT_FALSE(question.answered());
  world.Pass(1s);
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(question.facts().fetch, StsFetch::kFailed);
}

TEST_F(PolicyFetcherTest, MaxAge0ServesTheQuestionAtHandAndIsNotKept) {
  ServePolicy("enforce", "mx.example.com", 0);
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  EXPECT_FALSE(world.store.Contains(kDomain));
}

TEST_F(PolicyFetcherTest, ThePointDiffersAndFitsAShortMaxAge) {
  std::map<WallTime, int> points;
  for (int i = 0; i < 20; ++i) {
    world.store.Clear();
    ServePolicy("enforce", "mx.example.com", 3600);
    const StsFacts facts = LearnSts();
    const WallTime point = Memory().policy->refetch_at;
    EXPECT_GE(point - facts.fetched_at, Seconds(1200));
    EXPECT_LE(point - facts.fetched_at, Seconds(2400));
    ++points[point];
  }
  EXPECT_GT(points.size(), 1u);
}

// Owners of such policies must not keep us busy for ever.
TEST_F(PolicyFetcherTest, APolicyOfSecondsIsFetchedAgainByQuestionsAlone) {
  StartRefresher();
  ServePolicy("enforce", "mx.example.com", 10);
  LearnSts();
  world.Pass(1h);
  EXPECT_EQ(https.fetches(), 1);
  EXPECT_LT(Memory().policy->expires_at, world.clock.WallNow());
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  EXPECT_EQ(https.fetches(), 2);
}

TEST_F(PolicyFetcherTest, AShortPolicyIsRefreshedAtMostEveryFiveMinutes) {
  StartRefresher();
  ServePolicy("enforce", "mx.example.com", 400);
  LearnSts();
  world.Pass(1h);
  EXPECT_GE(https.fetches(), 10) << "it is in use, and does not lapse";
  for (size_t i = 1; i < https.times.size(); ++i)
    EXPECT_GE(https.times[i] - https.times[i - 1], 5min) << i;
}

// --- Limits.

TEST_F(FetchLimitTest, AtMost16FetchesAtOneAddress) {
  for (int i = 0; i < 40; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.8.8");
    https.Serve("mta-sts." + domain, PolicyText("none", "", kDay)).After(10s);
    AskSts(domain);
  }
  EXPECT_EQ(https.in_flight(), 16);
  world.Pass(60s);
  EXPECT_EQ(https.most_at_one_address(), 16);
  EXPECT_EQ(https.fetches(), 40);
}

TEST_F(FetchLimitTest, OneSlowAddressDoesNotHinderAnother) {
  dns.A(kPolicyHost, "8.8.4.4");
  for (int i = 0; i < 40; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.8.8");
    https.Drip("mta-sts." + domain);
    AskSts(domain);
  }
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
}

TEST_F(FetchLimitTest, AFetchMayEndBeforeItsStartReturns) {
  dns.at_once = true;
  dns.Fail(kPolicyHost, DnsType::kA);
  dns.Fail(kPolicyHost, DnsType::kAaaa);
  EXPECT_EQ(LearnSts().fetch, StsFetch::kFailed);
}

TEST_F(FetchLimitTest, AtMostMaxFetchesInAll) {
  sts_settings.max_fetches = 3;
  Restart();
  for (int i = 0; i < 9; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.8." + std::to_string(i));
    https.Serve("mta-sts." + domain, PolicyText("none", "", kDay)).After(10s);
    AskSts(domain);
  }
  EXPECT_EQ(https.in_flight(), 3);
  world.Pass(40s);
  EXPECT_EQ(https.most_in_flight(), 3);
  EXPECT_EQ(https.fetches(), 9);
}

// Hosts that drip for a minute would keep every newcomer waiting.
TEST_F(FetchLimitTest, WhoHasRunForTenSecondsMakesRoomForAQuestions) {
  sts_settings.max_fetches = 2;
  Restart();
  for (int i = 0; i < 2; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.8." + std::to_string(i));
    https.Drip("mta-sts." + domain);
    AskSts(domain);
  }
  world.Pass(10s);
  EXPECT_EQ(AskSts().facts().state, StsState::kEnforce);
  EXPECT_EQ(https.in_flight(), 1);
  const auto failure = world.store.Find("d0.example").failure;
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->reason,
            "8.8.8.0: slow, while others waited for its place");
  EXPECT_FALSE(world.store.Find("d1.example").failure);
}

TEST_F(FetchLimitTest, WhoHasNotKeepsItsPlaceUntilThen) {
  sts_settings.max_fetches = 1;
  Restart();
  https.Drip("mta-sts." + StsDomainAt(1, "8.8.4.4"));
  AskSts("d1.example");
  world.Pass(4s);
  const StsQuestion question = AskSts();
  world.Pass(5s);
  EXPECT_EQ(https.fetches(kPolicyHost), 0);
  world.Pass(1s);
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

TEST_F(FetchLimitTest, ARefreshTakesNobodysPlace) {
  ASSERT_EQ(LearnSts().state, StsState::kEnforce);
  sts_settings.max_fetches = 1;
  Restart();
  https.Drip("mta-sts." + StsDomainAt(1, "8.8.4.4"));
  AskSts("d1.example");
  world.Pass(20s);
  Publish("2");
  AskSts();  // a new id, in the background
  world.Pass(20s);
  EXPECT_EQ(https.fetches(kPolicyHost), 1);
  EXPECT_EQ(https.in_flight(), 1);
}

TEST_F(FetchLimitTest, RefreshesHaveAWaitingRoomOfTheirOwn) {
  sts_settings.max_fetches = 4;  // one of them for refreshes
  Restart();
  constexpr int kFit = 1 + 1000;
  const auto start = [this](int i) {
    FetchRequest request;
    request.domain = StsDomainAt(i, "8.8.4.4");
    request.id = "1";
    request.background = true;
    https.Drip("mta-sts." + request.domain);
    return engine().fetcher.Start(std::move(request)) != nullptr;
  };
  for (int i = 0; i < kFit; ++i) ASSERT_TRUE(start(i)) << i;
  EXPECT_FALSE(start(kFit));
  EXPECT_EQ(engine().fetcher.in_foreground(), 0u);
  EXPECT_EQ(AskSts().facts().state, StsState::kEnforce);
}

TEST_F(FetchLimitTest, AFetchThatDidNotGetItsTurnIsNotTheOwnersFault) {
  // No request was made: nothing to report to the domain's owner.
  sts_settings.max_fetches = 1;
  Restart();
  // Each keeps the place for ten seconds.
  for (int i = 0; i < 8; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.4.4");
    https.Drip("mta-sts." + domain);
    AskSts(domain);
  }
  const StsQuestion question = AskSts();
  world.Pass(61s);
  EXPECT_EQ(question.facts().state, StsState::kOther);
  EXPECT_EQ(https.fetches(kPolicyHost), 0);
  for (const Finding& finding : world.outcomes.all)
    EXPECT_NE(finding.outcome.domain, kDomain);
}

TEST_F(FetchLimitTest, HoldsMailForAFetchWithoutATurnOnceOnly) {
  sts_settings.max_fetches = 1;
  Restart();
  https.Drip("mta-sts." + StsDomainAt(1, "8.8.4.4"));
  AskSts("d1.example");
  const auto first = Ask(kDomain);
  world.Pass(8s);
  EXPECT_TRUE(first.value().starts_with("TEMP ")) << first.value();
  world.Pass(2min);
  https.Drip("mta-sts." + StsDomainAt(2, "8.8.4.4"));
  AskSts("d2.example");
  world.Pass(10min);
  const auto second = Ask(kDomain);
  EXPECT_TRUE(second.done());
}

// --- What is remembered of failures.

using FetchFailureTest = PolicyFetcherTest;

TEST_F(FetchFailureTest, TriesAreCountedFromTheFirstOn) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  LearnSts();
  for (int i = 0; i < 3; ++i) {
    world.Pass(5min);
    LearnSts();
  }
  world.Pass(1s);
  ASSERT_TRUE(Memory().failure);
  EXPECT_EQ(Memory().failure->tries, 4);
  EXPECT_EQ(Memory().failure->first_at, FakeClock::kWallStart);
  EXPECT_EQ(Memory().failure->last_at, FakeClock::kWallStart + 15min);
  EXPECT_FALSE(Memory().failure->reason.empty());
}

TEST_F(FetchFailureTest, ANewIdCountsAnew) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  LearnSts();
  world.Pass(1h);
  Publish("2");
  LearnSts();
  EXPECT_EQ(Memory().failure->id, "2");
  EXPECT_EQ(Memory().failure->tries, 1);
  EXPECT_EQ(Memory().failure->first_at, FakeClock::kWallStart + 1h);
}

// --- A reload.

class FetchReloadTest : public PolicyFetcherTest {
 protected:
  void Reload() { engine().fetcher.Use(sts_settings); }
};

TEST_F(FetchReloadTest, ALargerLimitLetsTheWaitingGo) {
  sts_settings.max_fetches = 2;
  Restart();
  for (int i = 0; i < 6; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.8." + std::to_string(i + 1));
    https.Drip("mta-sts." + domain);
    AskSts(domain);
  }
  EXPECT_EQ(https.in_flight(), 2);
  sts_settings.max_fetches = 5;
  Reload();
  world.clock.RunReady();
  EXPECT_EQ(https.in_flight(), 5);
}

TEST_F(FetchReloadTest, TheNextFetchIsMadeAsItSays) {
  dns.A(kPolicyHost, "10.1.2.3");
  EXPECT_EQ(LearnSts().state, StsState::kOther);
  sts_settings.port = 8443;
  sts_settings.fetch_timeout = 10s;
  sts_settings.address_filter.allowed = {
      IpPrefix::Parse("10.1.0.0/16").value()};
  Reload();
  world.store.Clear();
  EXPECT_EQ(LearnSts().state, StsState::kEnforce);
  ASSERT_EQ(https.fetches(), 1);
  EXPECT_EQ(https.requests[0].port, 8443);
  EXPECT_EQ(https.requests[0].deadline - https.times[0], 10s);
}

}  // namespace
}  // namespace postern
