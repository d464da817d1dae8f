// Trouble of ours is not held against domains, nor told to their owners.
#include "policy-daemon/outage_watch.h"
#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class OurTroubleTest : public EngineTest {
 protected:
  OurTroubleTest() { StsDomain(); }

  // A domain whose policy host lets nobody connect, asked for.
  std::string AskUnreached(int i, HttpsFailure failure = HttpsFailure::kRefused,
                           const std::string& under = "") {
    const std::string domain =
        under.empty() ? StsDomainAt(i, "8.8.4.4") : std::to_string(i) + under;
    if (!under.empty()) {
      dns.Txt("_mta-sts." + domain, {"v=STSv1; id=1"});
      dns.A("mta-sts." + domain, "8.8.4.4");
    }
    https.Fail("mta-sts." + domain, failure);
    Answer(domain);
    return domain;
  }
  std::vector<std::string> told() const {
    std::vector<std::string> domains;
    for (const Finding& finding : world.outcomes.all)
      domains.push_back(finding.outcome.domain);
    return domains;
  }
  using Domains = std::vector<std::string>;
};

TEST_F(OurTroubleTest, IsNeitherToldNorRemembered) {
  https.Fail(kPolicyHost, HttpsFailure::kLocal);
  EXPECT_EQ(Answer(kDomain), kNotFound);
  EXPECT_LE(KeptFor(kDomain), 5s);
  EXPECT_FALSE(Memory().failure);
  world.Pass(1h);
  EXPECT_EQ(told(), Domains());
  EXPECT_EQ(Count("postern_sts_fetches_total", {{"result", "our-trouble"}}), 1);
  EXPECT_EQ(Count("postern_sts_fetches_total", {{"result", "failed"}}), 0);
  ServePolicy();
  EXPECT_EQ(Answer(kDomain), kSecure);
}

TEST_F(OurTroubleTest, LeavesARememberedPolicyInForce) {
  EXPECT_EQ(Answer(kDomain), kSecure);
  https.Fail(kPolicyHost, HttpsFailure::kLocal);
  StartRefresher();
  world.Pass(48h);
  EXPECT_GT(https.fetches(), 10);
  EXPECT_EQ(Answer(kDomain), kSecure);
  EXPECT_FALSE(Memory().failure);
}

// Where there is no IPv6, that says nothing about a host that refuses IPv4.
TEST_F(OurTroubleTest, IsNoneWhereAnotherAddressSaysMore) {
  dns.Aaaa(kPolicyHost, "2001:4860:4860::8888");
  const std::string v4 = "8.8.8.8", v6 = "2001:4860:4860::8888";
  for (const auto& [refuses, unreachable] :
       {std::pair(v4, v6), std::pair(v6, v4)}) {
    world.store.Clear();
    https.Fail(kPolicyHost, HttpsFailure::kRefused, refuses);
    https.Fail(kPolicyHost, HttpsFailure::kLocal, unreachable);
    EXPECT_EQ(LearnSts().fetch, StsFetch::kFailed) << unreachable;
    EXPECT_TRUE(Memory().failure);
  }
}

TEST_F(OurTroubleTest, HoldsMailOnceForAFetchThatIsSlowToFail) {
  https.Fail(kPolicyHost, HttpsFailure::kLocal).After(20s);
  const auto held = Ask(kDomain);
  world.Pass(8s);
  EXPECT_TRUE(held.value().starts_with("TEMP ")) << held.value();
  for (int i = 0; i < 100; ++i) {
    world.Pass(31s);
    EXPECT_EQ(Ask(kDomain).value(), kNotFound) << i;
  }
  EXPECT_GT(https.fetches(), 10) << "it is tried again, soon";
  EXPECT_EQ(told(), Domains());
}

// --- Nobody is reached at all.

TEST_F(OurTroubleTest, OneDomainOutOfReachIsToldWhenAnotherIsReached) {
  const std::string dead = AskUnreached(1);
  EXPECT_EQ(told(), Domains());
  EXPECT_EQ(Answer(kDomain), kSecure);
  EXPECT_EQ(told(), Domains{dead});
}

TEST_F(OurTroubleTest, OneDomainOutOfReachIsToldWhenNobodyElseWasAsked) {
  const std::string dead = AskUnreached(1);
  world.Pass(10min - 1s);
  EXPECT_EQ(told(), Domains());
  world.Pass(1s);
  EXPECT_EQ(told(), Domains{dead});
}

// What is held is not lost where the daemon ends.
TEST_F(OurTroubleTest, OneDomainOutOfReachIsToldWhenNobodyElseWillBeAsked) {
  const std::string dead = AskUnreached(1);
  EXPECT_EQ(told(), Domains());
  engine().outage.Finish();
  EXPECT_EQ(told(), Domains{dead});
  world.Pass(1h);
  EXPECT_EQ(told(), Domains{dead});
}

TEST_F(OurTroubleTest, ThreeDomainsOutOfReachAreAnOutageOfOurs) {
  for (const HttpsFailure failure :
       {HttpsFailure::kRefused, HttpsFailure::kConnect, HttpsFailure::kTls}) {
    for (int i = 1; i <= 5; ++i)
      AskUnreached(i + 10 * static_cast<int>(failure), failure);
    EXPECT_TRUE(engine().outage.outage());
    world.Pass(1h);
    EXPECT_EQ(told(), Domains()) << "not even the first";
    // The next one reached ends it.
    world.store.Forget(kDomain);
    EXPECT_EQ(LearnSts().state, StsState::kEnforce);
    EXPECT_FALSE(engine().outage.outage());
    EXPECT_EQ(told(), Domains());
  }
}

TEST_F(OurTroubleTest, InAnOutageNothingIsHeldAgainstADomain) {
  for (int i = 1; i <= 4; ++i) AskUnreached(i);
  EXPECT_FALSE(world.store.Find("d3.example").failure);
  EXPECT_FALSE(world.store.Find("d4.example").failure);
  https.Serve("mta-sts.d4.example",
              PolicyText("enforce", "mx.example.com", kWeek));
  world.Pass(5s);
  EXPECT_EQ(LearnSts("d4.example").state, StsState::kEnforce);
}

TEST_F(OurTroubleTest, AnAnswerOfAnyKindShowsThatItIsNotUs) {
  for (const HttpsFailure failure :
       {HttpsFailure::kCertificate, HttpsFailure::kProtocol,
        HttpsFailure::kTooLarge, HttpsFailure::kTimeout}) {
    for (int i = 1; i <= 2; ++i)
      AskUnreached(i + 10 * static_cast<int>(failure));
    AskUnreached(5 + 10 * static_cast<int>(failure), failure);
    AskUnreached(3 + 10 * static_cast<int>(failure));
    EXPECT_FALSE(engine().outage.outage());
    world.Pass(1h);
  }
  EXPECT_EQ(told().size(), 16u);
}

// Domains that are dead for good are asked again and again.
TEST_F(OurTroubleTest, WhoIsKnownToBeDeadIsNoNews) {
  for (int day = 0; day < 3; ++day)
    for (int i = 1; i <= 4; ++i) {
      AskUnreached(i);
      world.Pass(11min);
      EXPECT_FALSE(engine().outage.outage());
    }
}

TEST_F(OurTroubleTest, OneOwnersDomainsAreOne) {
  for (int i = 1; i <= 9; ++i)
    AskUnreached(i, HttpsFailure::kRefused, ".dead.example");
  EXPECT_FALSE(engine().outage.outage());
}

TEST_F(OurTroubleTest, WhatIsHeldIsBounded) {
  Finding finding;
  finding.unreached = true;
  finding.outcome.failure_details.resize(1);
  finding.outcome.policy_string = {std::string(100000, 'x')};
  for (int i = 0; i < 100; ++i) engine().outage.Record(finding);
  EXPECT_GE(world.outcomes.all.size(), 89u) << "the oldest are passed on";
}

}  // namespace
}  // namespace postern
