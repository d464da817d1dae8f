// The service on fakes: when Postfix gets its answer, and how long it holds.
#include "policy-daemon/policy_service.h"
#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

using AnswerTimeTest = EngineTest;
using AnswerTtlTest = EngineTest;
using SlowFetchTest = EngineTest;

// --- One lookup in flight, and when it is answered.

TEST_F(AnswerTimeTest, ManyClientsShareOneLookup) {
  StsDomain();
  dns.Mx("example.com", {"mx.example.com"}).Insecure().After(2s);
  std::vector<Started<std::string>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(Ask("example.com"));
  EXPECT_EQ(service().lookups_in_flight(), 1u);
  world.Pass(2s);
  for (const auto& answer : answers) EXPECT_EQ(answer.value(), kSecure);
  EXPECT_EQ(dns.queries("example.com", DnsType::kMx), 1);
  EXPECT_EQ(dns.queries(kTxtName, DnsType::kTxt), 1);
  EXPECT_EQ(https.fetches(), 1);
  EXPECT_EQ(service().lookups_in_flight(), 0u);
}

TEST_F(AnswerTimeTest, EightHostsAndThePolicyAreLookedUpInParallel) {
  FakeResolver::Names names;
  for (int i = 0; i < 16; ++i)
    names.push_back("mx" + std::to_string(i) + ".example.com");
  dns.Mx("example.com", names);
  for (const auto& name : names) {
    dns.A(name, "198.51.100.1").After(1s);
    dns.Tlsa("_25._tcp." + name, {UsableTlsa()}).After(1s);
    dns.NoData(name, DnsType::kAaaa).After(1s);
  }
  dns.NxDomain(kTxtName, DnsType::kTxt).After(1s);
  const auto answer = Ask("example.com");
  world.Pass(4s);
  EXPECT_EQ(answer.value(), kDaneOnly);
  EXPECT_EQ(dns.most_in_flight(), 2 * 8 + 1);
}

TEST_F(AnswerTimeTest, TheAnswerComesAsSoonAsNothingCanChangeIt) {
  // All usable: whatever MTA-STS says, it is dane-only.
  DaneDomain();
  Publish("1");
  https.Drip(kPolicyHost);
  EXPECT_EQ(Ask("example.com").value(), kDaneOnly);
  // The rest goes on in the background.
  EXPECT_EQ(service().lookups_in_flight(), 1u);
  EXPECT_EQ(https.in_flight(), 1);
  world.Pass(60s);
  EXPECT_EQ(service().lookups_in_flight(), 0u);
}

TEST_F(AnswerTimeTest, AnInsecureSetUnderEnforceDoesNotWaitForItsHosts) {
  StsDomain();
  dns.SilentHost("mx.example.com");
  // Proven to have no address or not, it is `secure`.
  EXPECT_EQ(Ask("example.com").value(), kSecure);
}

TEST_F(AnswerTimeTest, AFailedMxSetDoesNotWaitForThePolicy) {
  dns.Fail("example.com", DnsType::kMx);
  Publish("1");
  https.Drip(kPolicyHost);
  EXPECT_TRUE(Ask("example.com").done());
}

TEST_F(AnswerTimeTest, ANullMxStillWaitsForThePolicy) {
  dns.Mx("example.com", {""});
  Publish("1");
  ServePolicy().After(3s);
  const auto answer = Ask("example.com");
  EXPECT_FALSE(answer.done());
  world.Pass(3s);
  EXPECT_EQ(answer.value(), kSecure);
}

TEST_F(AnswerTimeTest, WithARememberedPolicyNothingOfMtaStsIsWaitedFor) {
  StsDomain();
  Answer("example.com");
  world.Pass(2h);
  dns.Txt(kTxtName, {"v=STSv1; id=2"}).Never();
  EXPECT_EQ(Ask("example.com").value(), kSecure);
}

TEST_F(AnswerTimeTest, TempComesAtTheTimeoutAndNotLater) {
  dns.NoData("example.com", DnsType::kMx).Never();
  const auto answer = Ask("example.com");
  world.Pass(7999ms);
  EXPECT_FALSE(answer.done());
  world.Pass(1ms);
  EXPECT_EQ(answer.value(),
            "TEMP MX lookup for example.com failed: no answer in time");
}

TEST_F(AnswerTimeTest, EveryClientHasItsOwnTimeout) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure().After(10s);
  dns.PlainHost("mx.example.com");
  const auto first = Ask("example.com");
  world.Pass(5s);
  const auto second = Ask("example.com");
  world.Pass(3s);
  EXPECT_TRUE(first.value().starts_with("TEMP "));
  EXPECT_FALSE(second.done());
  world.Pass(2s);
  EXPECT_EQ(second.value(), kNotFound);
}

TEST_F(AnswerTimeTest, TheLookupGoesOnAfterTempAndServesTheNext) {
  dns.Mx("example.com", {"mx.example.com"}).After(20s);
  dns.DaneHost("mx.example.com");
  const auto first = Ask("example.com");
  world.Pass(20s);
  EXPECT_TRUE(first.value().starts_with("TEMP "));
  EXPECT_EQ(Ask("example.com").value(), kDaneOnly);
  EXPECT_EQ(dns.queries("example.com", DnsType::kMx), 1);
}

TEST_F(AnswerTimeTest, ASlowHostUnderEnforceIsTempAtTheTimeout) {
  StsDomain();
  dns.Mx("example.com", {"mx.example.com"});
  dns.SilentHost("mx.example.com");
  const auto answer = Ask("example.com");
  world.Pass(8s);
  EXPECT_TRUE(answer.value().starts_with("TEMP example.com enforces MTA-STS"))
      << answer.value();
}

TEST_F(AnswerTimeTest, ASlowHostWithoutMtaStsIsDaneAtTheTimeout) {
  // Postfix judges the host itself.
  dns.Mx("example.com", {"mx.example.com"});
  dns.SilentHost("mx.example.com");
  const auto answer = Ask("example.com");
  world.Pass(8s);
  EXPECT_EQ(answer.value(), kDane);
}

// --- A slow policy file (RFC 8461 section 3.3: it must not hold mail).

TEST_F(SlowFetchTest, HoldsMailOnceAtTheTimeout) {
  StsDomain();
  ServePolicy().After(30s);
  const auto first = Ask("example.com");
  world.Pass(8s);
  EXPECT_TRUE(first.value().starts_with("TEMP ")) << first.value();
  EXPECT_NE(first.value().find("example.com"), std::string::npos);
  EXPECT_NE(first.value().find("slow"), std::string::npos) << first.value();
  // From now on nobody waits.
  EXPECT_EQ(Ask("example.com").value(), kNotFound);
  world.Pass(5s);
  EXPECT_EQ(Ask("example.com").value(), kNotFound);
  EXPECT_EQ(https.fetches(), 1);
  // The fetch goes on, and serves when it is there.
  world.Pass(17s);
  EXPECT_EQ(Ask("example.com").value(), kSecure);
  EXPECT_EQ(https.fetches(), 1);
}

TEST_F(SlowFetchTest, HoldsAllWhoAskedBeforeTheFirstTemp) {
  StsDomain();
  ServePolicy().After(30s);
  std::vector<Started<std::string>> answers;
  for (int i = 0; i < 5; ++i) {
    answers.push_back(Ask("example.com"));
    world.Pass(1s);
  }
  world.Pass(8s);
  for (const auto& answer : answers)
    EXPECT_TRUE(answer.value().starts_with("TEMP ")) << answer.value();
}

TEST_F(SlowFetchTest, DoesNotHoldADaneDomain) {
  DaneDomain();
  Publish("1");
  ServePolicy().After(30s);
  EXPECT_EQ(Ask("example.com").value(), kDaneOnly);
}

TEST_F(SlowFetchTest, AfterItHasFailedItIsNotWaitedForAgain) {
  StsDomain();
  https.Drip(kPolicyHost);
  Ask("example.com");
  world.Pass(60s);
  EXPECT_EQ(Ask("example.com").value(), kNotFound);
  int held = 0;
  for (int minute = 0; minute < 23 * 60; ++minute) {
    const auto answer = Ask("example.com");
    if (!answer.done() || answer.value() != kNotFound) ++held;
    world.Pass(1min);
  }
  EXPECT_EQ(held, 0);
  EXPECT_GT(https.fetches(), 100);
  EXPECT_LE(https.fetches(), 1 + 24 * 12);
}

TEST_F(SlowFetchTest, AnotherPortOfTheDomainDoesNotWaitAgain) {
  StsDomain();
  ServePolicy().After(30s);
  Ask("example.com");
  world.Pass(8s);
  EXPECT_EQ(Ask("example.com:587").value(), kNotFound);
}

TEST_F(SlowFetchTest, HoldsMailOnceAlsoWhereOtherLookupsAreSlow) {
  StsDomain();
  ServePolicy().After(50s);
  Ask("example.com");
  world.Pass(8s);
  dns.Mx("example.com", {"mx.example.com"});
  dns.SilentHost("mx.example.com");
  const auto answer = Ask("example.com:587");
  world.Pass(8s);
  EXPECT_EQ(answer.value(), kDane);
}

// Asked every five minutes for a day: how often mail was held.
TEST_F(SlowFetchTest, HoldsMailOnceADayWhateverTheFileSays) {
  const auto id_of = [](bool changes, int i) {
    return changes ? std::to_string(i) : std::string("1");
  };
  for (const char* mode : {"enforce", "testing", "none"}) {
    for (const int max_age : {0, 60, 200, kWeek}) {
      for (const bool new_ids : {false, true}) {
        Restart();
        world.store.Clear();
        StsDomain(mode, max_age);
        ServePolicy(mode, "mx.example.com", max_age).After(10s);
        int held = 0;
        for (int i = 0; i < 12 * 24; ++i) {
          Publish(id_of(new_ids, i));
          held += AnswerWithin(8s, kDomain).starts_with("TEMP ") ? 1 : 0;
          world.Pass(5min - 8s);
        }
        EXPECT_EQ(held, 1) << mode << ' ' << max_age << ' ' << new_ids;
      }
    }
  }
}

TEST_F(SlowFetchTest, HoldsMailAgainOnAnotherDay) {
  StsDomain("enforce", 0);
  ServePolicy("enforce", "mx.example.com", 0).After(10s);
  EXPECT_TRUE(AnswerWithin(8s, kDomain).starts_with("TEMP "));
  world.Pass(25h);
  EXPECT_TRUE(AnswerWithin(8s, kDomain).starts_with("TEMP "));
}

// --- One of two name servers drops TLSA questions.

TEST_F(AnswerTimeTest, ATlsaLookupThatTimesOutOnceIsOneTemp) {
  StsDomain();
  DaneDomain();
  const std::string name = "_25._tcp.mx.example.com";
  dns.Fail(name, DnsType::kTlsa, "no answer").After(5s);
  EXPECT_TRUE(AnswerWithin(8s, kDomain).starts_with("TEMP "));
  dns.Tlsa(name, {UsableTlsa()});
  world.Pass(5s);
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
}

// --- How long answers hold.

TEST_F(AnswerTtlTest, TheSmallestTtlCounts) {
  DaneDomain();
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()}).Ttl(200);
  dns.Mx("example.com", {"mx.example.com"}).Ttl(300);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 200s);
}

TEST_F(AnswerTtlTest, AnAddressTtlCounts) {
  DaneDomain();
  dns.A("mx.example.com", "198.51.100.1").Ttl(150);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 150s);
}

TEST_F(AnswerTtlTest, LessThanAMinuteBecomesAMinute) {
  DaneDomain();
  dns.Mx("example.com", {"mx.example.com"}).Ttl(0);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 60s);
}

TEST_F(AnswerTtlTest, MoreThanAnHourBecomesAnHour) {
  DaneDomain();
  dns.Mx("example.com", {"mx.example.com"}).Ttl(86400);
  dns.A("mx.example.com", "198.51.100.1").Ttl(86400);
  dns.NoData("mx.example.com", DnsType::kAaaa).Ttl(86400);
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()}).Ttl(86400);
  dns.NoData(kTxtName, DnsType::kTxt).Ttl(86400);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 3600s);
}

TEST_F(AnswerTtlTest, NoPolicyHoldsForTheNegativeTtl) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  dns.NxDomain(kTxtName, DnsType::kTxt).Ttl(400);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 400s);
  dns.NxDomain(kTxtName, DnsType::kTxt).Ttl(0);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 60s);
}

TEST_F(AnswerTtlTest, APolicysRecordIsLookedAtAgainAtItsTtl) {
  StsDomain();
  dns.Txt(kTxtName, {"v=STSv1; id=1"}).Ttl(700);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 700s);
  dns.Txt(kTxtName, {"v=STSv1; id=1"}).Ttl(10);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 300s);
}

TEST_F(AnswerTtlTest, AFailedMxLookupIsKeptForSeconds) {
  dns.Fail("example.com", DnsType::kMx);
  Answer("example.com");
  const Seconds kept = KeptFor("example.com");
  EXPECT_GE(kept, 1s);
  EXPECT_LE(kept, 30s);
}

TEST_F(AnswerTtlTest, AnUnknownHostIsKeptForSeconds) {
  dns.Mx("example.com", {"mx.example.com"});
  dns.A("mx.example.com", "198.51.100.1");
  dns.Fail("_25._tcp.mx.example.com", DnsType::kTlsa);
  EXPECT_EQ(Answer("example.com"), kDane);
  EXPECT_LE(KeptFor("example.com"), 30s);
}

TEST_F(AnswerTtlTest, AFailedTxtLookupIsKeptForAtMost30Seconds) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  dns.Fail(kTxtName, DnsType::kTxt);
  Answer("example.com");
  const Seconds kept = KeptFor("example.com");
  EXPECT_GE(kept, 1s);
  EXPECT_LE(kept, 30s);
}

TEST_F(AnswerTtlTest, AnAnswerAtTheTimeoutIsNotKept) {
  dns.NoData("example.com", DnsType::kMx).Never();
  const auto answer = Ask("example.com");
  world.Pass(8s);
  EXPECT_TRUE(answer.done());
  EXPECT_FALSE(IsKept("example.com"));
}

TEST_F(AnswerTtlTest, AnAnswerBesideAnUnknownHostIsKeptForFiveSeconds) {
  StsDomain();
  for (const bool has_none : {false, true}) {
    FakeResolver::Names names = {"mx.example.com", "mx2.example.com"};
    if (has_none) names.push_back("mx3.example.com");
    dns.Mx("example.com", names);
    dns.DaneHost("mx.example.com");
    dns.A("mx2.example.com", "198.51.100.1");
    dns.Fail("_25._tcp.mx2.example.com", DnsType::kTlsa);
    dns.PlainHost("mx3.example.com");
    EXPECT_EQ(Answer("example.com"), has_none ? kSecure : kDaneOnly);
    EXPECT_EQ(KeptFor("example.com"), 5s);
  }
  // The next one sees what has become of the host.
  dns.Mx("example.com", {"mx.example.com", "mx2.example.com"});
  dns.NoData("_25._tcp.mx2.example.com", DnsType::kTlsa);
  EXPECT_EQ(Answer("example.com"), kSecure);
}

TEST_F(AnswerTtlTest, AnAnswerDoesNotOutliveItsPolicy) {
  // RFC 8461 section 3.2: max_age counts from the fetch.
  StsDomain("enforce", 600);
  Answer("example.com");
  EXPECT_LE(KeptFor("example.com"), 600s);
}

TEST_F(AnswerTtlTest, MaxAge0IsForTheQuestionAtHand) {
  StsDomain("enforce", 0);
  EXPECT_EQ(Answer("example.com"), kSecure);
  EXPECT_LE(KeptFor("example.com"), 60s);
}

TEST_F(AnswerTtlTest, WithoutWhatIsRememberedItIsKeptForSeconds) {
  StsDomain();
  Answer("example.com");
  world.Pass(2h);
  dns.NoData(kTxtName, DnsType::kTxt);
  world.store.unreadable = true;
  EXPECT_EQ(Answer("example.com"), kNotFound);
  world.store.unreadable = false;
  EXPECT_EQ(KeptFor("example.com"), 5s);
  EXPECT_EQ(Answer("example.com"), kSecure);
}

TEST_F(AnswerTtlTest, ARefetchShowsInAnswersWithinSeconds) {
  StsDomain();
  Answer("example.com");
  world.Pass(2h);
  Publish("2");
  https.Serve(kPolicyHost, PolicyText("enforce", "mx2.example.com", kWeek))
      .After(2s);
  EXPECT_EQ(Ask("example.com").value(), kSecure);
  world.Pass(10s);
  EXPECT_EQ(Ask("example.com").value(),
            "OK secure match=mx2.example.com servername=hostname");
}

}  // namespace
}  // namespace postern
