// The service on fakes: what Postfix gets, when, and for how long it holds.
#include "policy-daemon/policy_service.h"

#include <gtest/gtest.h>

#include "policy-daemon/socketmap.h"
#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr int kWeek = 7 * 86400;
constexpr char kSecure[] = "OK secure match=mx.example.com servername=hostname";
constexpr char kNotFound[] = "NOTFOUND ";
constexpr char kDaneOnly[] = "OK dane-only";
constexpr char kDane[] = "OK dane";

class PolicyServiceTest : public testing::Test {
 protected:
  PolicyServiceTest() { Restart(); }
  void TearDown() override { world.End(); }

  void Restart() {
    service.reset();
    service.emplace(
        Lookup::World{world.loop.get_executor(), world.clock, dane, sts}, dns,
        settings, world.metrics);
  }
  Started<std::string> Ask(const std::string& key,
                           Dialect dialect = Dialect::kPolicy) {
    return world.Start(AskOne(key, dialect));
  }
  // The answer, however long it takes.
  std::string Answer(const std::string& key,
                     Dialect dialect = Dialect::kPolicy) {
    return world.Run(AskOne(key, dialect));
  }
  // True if `key` is answered without a lookup.
  bool IsKept(const std::string& key) {
    return !service->AnswerNow(key, Dialect::kPolicy).empty();
  }
  // From now, how long the answer to `key` stands in memory, to the second.
  Seconds KeptFor(const std::string& key) {
    for (Seconds age{0};; ++age) {
      if (!IsKept(key)) return age;
      world.Pass(1s);
    }
  }

  // An MTA-STS domain on unsigned zones, in every way as it should be.
  void StsDomain(const std::string& mode = "enforce", int max_age = kWeek) {
    dns.Mx("example.com", {"mx.example.com"}).Insecure();
    dns.PlainHost("mx.example.com");
    StsRecord();
    world.https.Serve("mta-sts.example.com",
                      PolicyText(mode, "mx.example.com", max_age));
  }
  void StsRecord(const std::string& id = "1") {
    dns.Txt("_mta-sts.example.com", {"v=STSv1; id=" + id}).Insecure();
    dns.A("mta-sts.example.com", "8.8.8.8");
  }
  // A DANE domain.
  void DaneDomain() {
    dns.Mx("example.com", {"mx.example.com"});
    dns.DaneHost("mx.example.com");
  }
  FakeSite& SlowPolicy(Duration delay) {
    return world.https
        .Serve("mta-sts.example.com",
               PolicyText("enforce", "mx.example.com", kWeek))
        .After(delay);
  }

  FakeWorld world;
  FakeResolver& dns = world.dns;
  DaneLookup dane{world.loop.get_executor(), world.clock, dns};
  StsLookup sts{{world.loop.get_executor(), world.clock, dns, world.https,
                 world.store, world.outcomes, world.metrics},
                {}};
  PolicyService::Settings settings;
  std::optional<PolicyService> service;

 private:
  // Without the netstring's frame.
  Awaitable<std::string> AskOne(std::string key, Dialect dialect) {
    std::string answer(service->AnswerNow(key, dialect));
    if (answer.empty()) answer = co_await service->Answer(key, dialect);
    const NetstringParse parse = ParseNetstring(answer);
    EXPECT_EQ(parse.consumed, answer.size());
    co_return std::string(parse.payload);
  }
};

using AnswerTest = PolicyServiceTest;
using AnswerTimeTest = PolicyServiceTest;
using AnswerTtlTest = PolicyServiceTest;
using SlowFetchTest = PolicyServiceTest;
using ResolverTrustTest = PolicyServiceTest;

// --- Rows of the table, end to end on fakes.

TEST_F(AnswerTest, ADaneDomainIsDaneOnly) {
  DaneDomain();
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

TEST_F(AnswerTest, AnStsDomainIsSecure) {
  StsDomain();
  EXPECT_EQ(Answer("example.com"), kSecure);
}

TEST_F(AnswerTest, DaneGoesBeforeMtaSts) {
  StsDomain();
  DaneDomain();
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

TEST_F(AnswerTest, AnOrdinaryDomainIsNotFound) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  EXPECT_EQ(Answer("example.com"), kNotFound);
}

TEST_F(AnswerTest, PartialDaneIsDane) {
  dns.Mx("example.com", {"mx.example.com", "mx2.example.com"});
  dns.DaneHost("mx.example.com");
  dns.PlainHost("mx2.example.com");
  EXPECT_EQ(Answer("example.com"), kDane);
}

TEST_F(AnswerTest, PartialDaneUnderEnforceIsSecureOrAsConfigured) {
  StsDomain();
  dns.Mx("example.com", {"mx.example.com", "mx2.example.com"});
  dns.DaneHost("mx.example.com");
  dns.PlainHost("mx2.example.com");
  EXPECT_EQ(Answer("example.com"), kSecure);
  settings.mixed_reply_dane_only = true;
  Restart();
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

TEST_F(AnswerTest, AHostWithoutAddressDoesNotCount) {
  dns.Mx("example.com", {"mx.example.com", "gone.example.com"});
  dns.DaneHost("mx.example.com");
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

TEST_F(AnswerTest, OneUnknownHostDoesNotHoldMailWithoutMtaSts) {
  dns.Mx("example.com", {"mx.example.com", "mx2.example.com"});
  dns.DaneHost("mx.example.com");
  dns.A("mx2.example.com", "198.51.100.1");
  dns.Fail("_25._tcp.mx2.example.com", DnsType::kTlsa);
  EXPECT_EQ(Answer("example.com"), kDane);
}

TEST_F(AnswerTest, AnImplicitMxIsLookedUpLikeAHost) {
  dns.DaneHost("example.com");
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

TEST_F(AnswerTest, AHostInBracketsNeedsNoMx) {
  dns.DaneHost("mx.example.com");
  EXPECT_EQ(Answer("[mx.example.com]"), kDaneOnly);
  EXPECT_EQ(dns.queries_of_type(DnsType::kMx), 0);
  EXPECT_EQ(dns.queries("_mta-sts.mx.example.com", DnsType::kTxt), 1);
}

TEST_F(AnswerTest, ThePortOfTheKeyCounts) {
  DaneDomain();
  dns.Tlsa("_587._tcp.mx.example.com", {UnusableTlsa()});
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
  EXPECT_EQ(Answer("example.com:587"), kDane);
  EXPECT_EQ(Answer("example.com:submission"), kDane);
  EXPECT_EQ(Answer("example.com:25"), kDaneOnly);
}

TEST_F(AnswerTest, MoreThan128HostsAreUnknownInPart) {
  FakeResolver::Names names;
  for (int i = 0; i < 130; ++i)
    names.push_back("mx" + std::to_string(i) + ".example.com");
  dns.Mx("example.com", names);
  for (const auto& name : names) dns.DaneHost(name);
  EXPECT_EQ(Answer("example.com"), kDane);
}

TEST_F(AnswerTest, ANullMxIsNotFoundWithoutFurtherLookups) {
  dns.Mx("example.com", {""});
  EXPECT_EQ(Answer("example.com"), kNotFound);
  EXPECT_EQ(dns.queries_of_type(DnsType::kA), 0);
  EXPECT_EQ(dns.queries_of_type(DnsType::kTlsa), 0);
}

TEST_F(AnswerTest, AForgedNullMxOrNxdomainDoesNotDowngrade) {
  StsDomain();
  EXPECT_EQ(Answer("example.com"), kSecure);
  world.Pass(2h);
  dns.Mx("example.com", {""}).Insecure();
  EXPECT_EQ(Answer("example.com"), kSecure);
  world.Pass(2h);
  dns.NxDomain("example.com", DnsType::kMx).Insecure();
  dns.NxDomain("_mta-sts.example.com", DnsType::kTxt).Insecure();
  EXPECT_EQ(Answer("example.com"), kSecure);
}

TEST_F(AnswerTest, KeysThatAreNoNamesAreNotFoundWithoutALookup) {
  for (const char* key :
       {"", ".example.com", "192.0.2.1", "[192.0.2.1]", "[ipv6:2001:db8::1]",
        "unix:/run/x", "a b", "example.com:", "example.com:0",
        "example.com:nosuchservice", "[example.com", "[example.com]x", "-a.b"})
    EXPECT_EQ(Answer(key), kNotFound) << key;
  EXPECT_EQ(Answer(std::string(256, 'a')), kNotFound);
  EXPECT_EQ(Answer(std::string("\x80\xff\x00x", 4)), kNotFound);
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(AnswerTest, SpellingsOfOneNameShareTheAnswer) {
  StsDomain();
  EXPECT_EQ(Answer("Example.COM."), kSecure);
  const int queries = dns.queries();
  EXPECT_EQ(Answer("example.com"), kSecure);
  EXPECT_EQ(Answer("EXAMPLE.com:25"), kSecure);
  EXPECT_EQ(dns.queries(), queries);
}

TEST_F(AnswerTest, TheTlsrptDialectAddsItsAttributes) {
  StsDomain();
  EXPECT_EQ(Answer("example.com", Dialect::kTlsrpt),
            std::string(kSecure) +
                " policy_type=sts policy_domain=example.com"
                " mx_host_pattern=mx.example.com"
                " { policy_string = version: STSv1 }"
                " { policy_string = mode: enforce }"
                " { policy_string = mx: mx.example.com }"
                " { policy_string = max_age: 604800 }");
  // From memory the same, and the plain one as well.
  EXPECT_EQ(Answer("example.com"), kSecure);
  EXPECT_NE(Answer("example.com", Dialect::kTlsrpt), kSecure);
  EXPECT_EQ(world.https.fetches(), 1);
}

TEST_F(AnswerTest, TestingIsNotFoundUnlessConfigured) {
  StsDomain("testing");
  EXPECT_EQ(Answer("example.com"), kNotFound);
  EXPECT_EQ(Answer("example.com", Dialect::kTlsrpt), kNotFound);
  settings.reply.testing_reply_may = true;
  Restart();
  EXPECT_EQ(Answer("example.com"), kNotFound);
  EXPECT_TRUE(Answer("example.com", Dialect::kTlsrpt)
                  .starts_with("OK may policy_type=sts"));
}

TEST_F(AnswerTest, TheSiteLevelIsNeverLowered) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.DaneHost("mx.example.com");
  settings.reply.site_level = SiteLevel::kEncrypt;
  Restart();
  EXPECT_EQ(Answer("example.com"), kNotFound);
}

// --- Failures become TEMP with a reason.

TEST_F(AnswerTest, AFailedMxLookupIsTempAndNamesDomainAndCause) {
  dns.Fail("example.com", DnsType::kMx, "SERVFAIL, says the test");
  EXPECT_EQ(Answer("example.com"),
            "TEMP MX lookup for example.com failed: SERVFAIL, says the test");
}

TEST_F(AnswerTest, AnUnknownHostUnderEnforceIsTempAndNamesTheHost) {
  StsDomain();
  dns.Mx("example.com", {"mx.example.com"});
  dns.Fail("mx.example.com", DnsType::kA, "timed out");
  dns.Fail("mx.example.com", DnsType::kAaaa, "timed out");
  const std::string answer = Answer("example.com");
  EXPECT_TRUE(answer.starts_with("TEMP example.com enforces MTA-STS"))
      << answer;
  EXPECT_NE(answer.find("mx.example.com is unknown"), std::string::npos);
  EXPECT_NE(answer.find("timed out"), std::string::npos) << answer;
}

TEST_F(AnswerTest, AFailedTxtLookupIsNeverTemp) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  dns.Fail("_mta-sts.example.com", DnsType::kTxt);
  EXPECT_EQ(Answer("example.com"), kNotFound);
}

TEST_F(AnswerTest, ATxtLookupThatNeverAnswersIsNeverTemp) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  dns.NoData("_mta-sts.example.com", DnsType::kTxt).Never();
  const auto answer = Ask("example.com");
  world.Pass(8s);
  EXPECT_EQ(answer.value(), kNotFound);
}

TEST_F(AnswerTest, TooManyLookupsAreTempWithAReason) {
  settings.max_lookups = 2;
  Restart();
  for (const char* name : {"a.example", "b.example", "c.example"})
    dns.NoData(name, DnsType::kMx).Never();
  Ask("a.example");
  Ask("b.example");
  const std::string answer = Ask("c.example").value();
  EXPECT_TRUE(answer.starts_with("TEMP too many lookups")) << answer;
  EXPECT_NE(answer.find("policy.max_lookups"), std::string::npos);
  // Joining one that runs is no new lookup.
  EXPECT_FALSE(Ask("a.example").done());
  EXPECT_EQ(service->lookups_in_flight(), 2u);
}

TEST_F(AnswerTest, LookupsThatWaitForSlowPolicyFilesLeaveRoomForOthers) {
  settings.max_lookups = 1;
  Restart();
  StsDomain();
  SlowPolicy(30s);
  Ask("example.com");
  dns.Mx("other.example", {"mx.other.example"});
  dns.DaneHost("mx.other.example");
  EXPECT_EQ(Ask("other.example").value(), kDaneOnly);
}

// --- One lookup in flight, and when it is answered.

TEST_F(AnswerTimeTest, ManyClientsShareOneLookup) {
  StsDomain();
  dns.Mx("example.com", {"mx.example.com"}).Insecure().After(2s);
  std::vector<Started<std::string>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(Ask("example.com"));
  EXPECT_EQ(service->lookups_in_flight(), 1u);
  world.Pass(2s);
  for (const auto& answer : answers) EXPECT_EQ(answer.value(), kSecure);
  EXPECT_EQ(dns.queries("example.com", DnsType::kMx), 1);
  EXPECT_EQ(dns.queries("_mta-sts.example.com", DnsType::kTxt), 1);
  EXPECT_EQ(world.https.fetches(), 1);
  EXPECT_EQ(service->lookups_in_flight(), 0u);
}

TEST_F(AnswerTimeTest, HostsAndPolicyAreLookedUpInParallel) {
  FakeResolver::Names names;
  for (int i = 0; i < 20; ++i)
    names.push_back("mx" + std::to_string(i) + ".example.com");
  dns.Mx("example.com", names);
  for (const auto& name : names) {
    dns.A(name, "198.51.100.1").After(1s);
    dns.Tlsa("_25._tcp." + name, {UsableTlsa()}).After(1s);
    dns.NoData(name, DnsType::kAaaa).After(1s);
  }
  dns.NxDomain("_mta-sts.example.com", DnsType::kTxt).After(1s);
  const auto answer = Ask("example.com");
  world.Pass(2s);
  EXPECT_EQ(answer.value(), kDaneOnly);
  EXPECT_EQ(dns.most_in_flight(), 41);
}

TEST_F(AnswerTimeTest, TheAnswerComesAsSoonAsNothingCanChangeIt) {
  // All usable: whatever MTA-STS says, it is dane-only.
  DaneDomain();
  StsRecord();
  world.https.Drip("mta-sts.example.com");
  EXPECT_EQ(Ask("example.com").value(), kDaneOnly);
  // The rest goes on in the background.
  EXPECT_EQ(service->lookups_in_flight(), 1u);
  EXPECT_EQ(world.https.in_flight(), 1);
  world.Pass(60s);
  EXPECT_EQ(service->lookups_in_flight(), 0u);
}

TEST_F(AnswerTimeTest, AnInsecureSetUnderEnforceDoesNotWaitForItsHosts) {
  StsDomain();
  dns.NoData("mx.example.com", DnsType::kA).Never();
  dns.NoData("mx.example.com", DnsType::kAaaa).Never();
  // Proven to have no address or not, it is `secure`.
  EXPECT_EQ(Ask("example.com").value(), kSecure);
}

TEST_F(AnswerTimeTest, AFailedMxSetDoesNotWaitForThePolicy) {
  dns.Fail("example.com", DnsType::kMx);
  StsRecord();
  world.https.Drip("mta-sts.example.com");
  EXPECT_TRUE(Ask("example.com").done());
}

TEST_F(AnswerTimeTest, ANullMxStillWaitsForThePolicy) {
  dns.Mx("example.com", {""});
  StsRecord();
  SlowPolicy(3s);
  const auto answer = Ask("example.com");
  EXPECT_FALSE(answer.done());
  world.Pass(3s);
  EXPECT_EQ(answer.value(), kSecure);
}

TEST_F(AnswerTimeTest, WithARememberedPolicyNothingOfMtaStsIsWaitedFor) {
  StsDomain();
  Answer("example.com");
  world.Pass(2h);
  dns.Txt("_mta-sts.example.com", {"v=STSv1; id=2"}).Never();
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
  dns.NoData("mx.example.com", DnsType::kA).Never();
  dns.NoData("mx.example.com", DnsType::kAaaa).Never();
  const auto answer = Ask("example.com");
  world.Pass(8s);
  EXPECT_TRUE(answer.value().starts_with("TEMP example.com enforces MTA-STS"))
      << answer.value();
}

TEST_F(AnswerTimeTest, ASlowHostWithoutMtaStsIsDaneAtTheTimeout) {
  // Postfix judges the host itself.
  dns.Mx("example.com", {"mx.example.com"});
  dns.NoData("mx.example.com", DnsType::kA).Never();
  dns.NoData("mx.example.com", DnsType::kAaaa).Never();
  const auto answer = Ask("example.com");
  world.Pass(8s);
  EXPECT_EQ(answer.value(), kDane);
}

// --- A slow policy file (RFC 8461 section 3.3: it must not hold mail).

TEST_F(SlowFetchTest, HoldsMailOnceAtTheTimeout) {
  StsDomain();
  SlowPolicy(30s);
  const auto first = Ask("example.com");
  world.Pass(8s);
  EXPECT_TRUE(first.value().starts_with("TEMP ")) << first.value();
  EXPECT_NE(first.value().find("example.com"), std::string::npos);
  EXPECT_NE(first.value().find("slow"), std::string::npos) << first.value();
  // From now on nobody waits.
  EXPECT_EQ(Ask("example.com").value(), kNotFound);
  world.Pass(5s);
  EXPECT_EQ(Ask("example.com").value(), kNotFound);
  EXPECT_EQ(world.https.fetches(), 1);
  // The fetch goes on, and serves when it is there.
  world.Pass(17s);
  EXPECT_EQ(Ask("example.com").value(), kSecure);
  EXPECT_EQ(world.https.fetches(), 1);
}

TEST_F(SlowFetchTest, HoldsAllWhoAskedBeforeTheFirstTemp) {
  StsDomain();
  SlowPolicy(30s);
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
  StsRecord();
  SlowPolicy(30s);
  EXPECT_EQ(Ask("example.com").value(), kDaneOnly);
}

TEST_F(SlowFetchTest, AfterItHasFailedItIsNotWaitedForAgain) {
  StsDomain();
  world.https.Drip("mta-sts.example.com");
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
  EXPECT_GT(world.https.fetches(), 100);
  EXPECT_LE(world.https.fetches(), 1 + 24 * 12);
}

TEST_F(SlowFetchTest, ItsFailureIsToldAsAFailedSession) {
  StsDomain();
  world.https.Drip("mta-sts.example.com");
  Ask("example.com");
  world.Pass(60s);
  ASSERT_EQ(world.outcomes.all.size(), 1u);
  EXPECT_TRUE(world.outcomes.all[0].session_failed);
}

TEST_F(SlowFetchTest, AnotherPortOfTheDomainDoesNotWaitAgain) {
  StsDomain();
  SlowPolicy(30s);
  Ask("example.com");
  world.Pass(8s);
  EXPECT_EQ(Ask("example.com:587").value(), kNotFound);
}

TEST_F(SlowFetchTest, HoldsMailOnceAlsoWhereOtherLookupsAreSlow) {
  StsDomain();
  SlowPolicy(50s);
  Ask("example.com");
  world.Pass(8s);
  dns.Mx("example.com", {"mx.example.com"});
  dns.NoData("mx.example.com", DnsType::kA).Never();
  dns.NoData("mx.example.com", DnsType::kAaaa).Never();
  const auto answer = Ask("example.com:587");
  world.Pass(8s);
  EXPECT_EQ(answer.value(), kDane);
}

TEST_F(SlowFetchTest, ANewIdIsWaitedForAgain) {
  StsDomain();
  world.https.Drip("mta-sts.example.com");
  Ask("example.com");
  world.Pass(60s);
  EXPECT_EQ(Ask("example.com").value(), kNotFound);
  StsRecord("2");
  SlowPolicy(30s);
  world.Pass(10min);
  const auto answer = Ask("example.com");
  EXPECT_FALSE(answer.done());
  world.Pass(8s);
  EXPECT_TRUE(answer.value().starts_with("TEMP ")) << answer.value();
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
  dns.NoData("_mta-sts.example.com", DnsType::kTxt).Ttl(86400);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 3600s);
}

TEST_F(AnswerTtlTest, NoPolicyHoldsForTheNegativeTtl) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  dns.NxDomain("_mta-sts.example.com", DnsType::kTxt).Ttl(400);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 400s);
  dns.NxDomain("_mta-sts.example.com", DnsType::kTxt).Ttl(0);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 60s);
}

TEST_F(AnswerTtlTest, APolicysRecordIsLookedAtAgainAtItsTtl) {
  StsDomain();
  dns.Txt("_mta-sts.example.com", {"v=STSv1; id=1"}).Ttl(700);
  Answer("example.com");
  EXPECT_EQ(KeptFor("example.com"), 700s);
  dns.Txt("_mta-sts.example.com", {"v=STSv1; id=1"}).Ttl(10);
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
  dns.Fail("_mta-sts.example.com", DnsType::kTxt);
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

TEST_F(AnswerTtlTest, UsableOrUnknownUnderEnforceIsNotKept) {
  StsDomain();
  dns.Mx("example.com", {"mx.example.com", "mx2.example.com"});
  dns.DaneHost("mx.example.com");
  dns.A("mx2.example.com", "198.51.100.1");
  dns.Fail("_25._tcp.mx2.example.com", DnsType::kTlsa);
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
  EXPECT_FALSE(IsKept("example.com"));
  // The next one sees what has become of the host.
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

TEST_F(AnswerTtlTest, APolicyInUseIsFetchedAgainBeforeItExpires) {
  StsDomain("enforce", 1800);
  Answer("example.com");
  world.Pass(1750s);
  for (int i = 0; i < 10; ++i) {
    Answer("example.com");
    world.Pass(1s);
  }
  EXPECT_GE(world.https.fetches(), 2);
}

TEST_F(AnswerTtlTest, ARefetchShowsInAnswersWithinSeconds) {
  StsDomain();
  Answer("example.com");
  world.Pass(2h);
  StsRecord("2");
  world.https
      .Serve("mta-sts.example.com",
             PolicyText("enforce", "mx2.example.com", kWeek))
      .After(2s);
  EXPECT_EQ(Ask("example.com").value(), kSecure);
  world.Pass(10s);
  EXPECT_EQ(Ask("example.com").value(),
            "OK secure match=mx2.example.com servername=hostname");
}

// --- Without a resolver that validates.

TEST_F(ResolverTrustTest, NoMxOrTlsaQueryIsMadeWithoutValidation) {
  DaneDomain();
  dns.validates = false;
  EXPECT_EQ(Answer("example.com"), kNotFound);
  EXPECT_EQ(dns.queries_of_type(DnsType::kMx), 0);
  EXPECT_EQ(dns.queries_of_type(DnsType::kTlsa), 0);
}

TEST_F(ResolverTrustTest, MtaStsWorksWithoutValidation) {
  StsDomain();
  dns.validates = false;
  EXPECT_EQ(Answer("example.com"), kSecure);
}

TEST_F(ResolverTrustTest, ABrokenMxDefersNobodyWithoutValidation) {
  dns.Fail("example.com", DnsType::kMx);
  dns.validates = false;
  EXPECT_EQ(Answer("example.com"), kNotFound);
}

TEST_F(ResolverTrustTest, DaneCanBeTurnedOff) {
  StsDomain();
  DaneDomain();
  settings.dane_enabled = false;
  Restart();
  EXPECT_EQ(Answer("example.com"), kSecure);
  EXPECT_EQ(dns.queries_of_type(DnsType::kMx), 0);
  EXPECT_EQ(dns.queries_of_type(DnsType::kTlsa), 0);
}

TEST_F(ResolverTrustTest, ValidationThatReturnsIsUsedAgain) {
  DaneDomain();
  dns.validates = false;
  EXPECT_EQ(Answer("example.com"), kNotFound);
  dns.validates = true;
  world.Pass(1h);
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

// --- Explain: for `postern-policy query`.

TEST_F(PolicyServiceTest, ExplainWaitsUntilAllIsKnown) {
  DaneDomain();
  StsRecord();
  SlowPolicy(20s);
  const auto lookup = world.Run(service->Explain({.domain = "example.com"}));
  ASSERT_TRUE(lookup);
  EXPECT_TRUE(lookup->complete());
  EXPECT_EQ(lookup->facts().sts.state, StsState::kEnforce);
  EXPECT_EQ(lookup->decision()->verdict, Verdict::kDaneOnly);
  EXPECT_EQ(world.clock.since_start(), 20s);
}

}  // namespace
}  // namespace postern
