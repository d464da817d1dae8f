// The service on fakes: what Postfix gets.
#include "policy-daemon/policy_service.h"

#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

using AnswerTest = EngineTest;
using ResolverTrustTest = EngineTest;
using ExplainTest = EngineTest;

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
  dns.NxDomain(kTxtName, DnsType::kTxt).Insecure();
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
  EXPECT_EQ(https.fetches(), 1);
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
  dns.Fail(kTxtName, DnsType::kTxt);
  EXPECT_EQ(Answer("example.com"), kNotFound);
}

TEST_F(AnswerTest, ATxtLookupThatNeverAnswersIsNeverTemp) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  dns.NoData(kTxtName, DnsType::kTxt).Never();
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
  EXPECT_EQ(service().lookups_in_flight(), 2u);
}

// No number of lookups would help.
TEST_F(AnswerTest, LookupsThatHoldTooMuchMemoryAreTempWithThatReason) {
  DaneDomain();
  *engine().bytes_held += 128 << 20;
  const std::string answer = Answer("example.com");
  EXPECT_TRUE(answer.starts_with("TEMP lookups in progress hold too much"))
      << answer;
  EXPECT_EQ(answer.find("policy.max_lookups"), std::string::npos);
  *engine().bytes_held -= 128 << 20;
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

TEST_F(AnswerTest, LookupsThatWaitForSlowPolicyFilesLeaveRoomForOthers) {
  settings.max_lookups = 1;
  Restart();
  StsDomain();
  ServePolicy().After(30s);
  Ask("example.com");
  dns.Mx("other.example", {"mx.other.example"});
  dns.DaneHost("mx.other.example");
  EXPECT_EQ(Ask("other.example").value(), kDaneOnly);
}

TEST_F(AnswerTest, LookupsThatWaitForTheirTurnToFetchLeaveRoomToo) {
  settings.max_lookups = 1;
  sts_settings.max_fetches = 1;
  Restart();
  for (int i = 0; i < 3; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.4.4");
    https.Drip("mta-sts." + domain);
    EXPECT_FALSE(Ask(domain).done());
  }
  DaneDomain();
  EXPECT_EQ(Ask("example.com").value(), kDaneOnly);
}

TEST_F(AnswerTest, BackgroundFetchesAreNoReasonForMoreLookups) {
  settings.max_lookups = 1;
  Restart();
  StsDomain();
  Answer("example.com");
  Publish("2");
  https.Drip(kPolicyHost);
  world.Pass(2h);
  EXPECT_EQ(Answer("example.com"), kSecure);
  ASSERT_EQ(https.in_flight(), 1);
  for (const char* name : {"a.example", "b.example"})
    dns.NoData(name, DnsType::kMx).Never();
  EXPECT_FALSE(Ask("a.example").done());
  EXPECT_TRUE(Ask("b.example").done()) << "there is room for one";
}

// Domains that have their answer, while their TXT record is still asked for.
class AnsweredLookupTest : public EngineTest {
 protected:
  std::string AskEarly(int i) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    dns.Mx(domain, {"mx." + domain});
    dns.DaneHost("mx." + domain);
    dns.NoData("_mta-sts." + domain, DnsType::kTxt).Never();
    return Ask(domain).value();
  }
};

TEST_F(AnsweredLookupTest, LeavesRoomForOthers) {
  settings.max_lookups = 1;
  Restart();
  EXPECT_EQ(AskEarly(0), kDaneOnly);
  EXPECT_EQ(AskEarly(1), kDaneOnly);
  EXPECT_EQ(service().lookups_in_flight(), 2u);
}

TEST_F(AnsweredLookupTest, ButFourTimesMaxLookupsAreEnough) {
  settings.max_lookups = 2;
  Restart();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(AskEarly(i), kDaneOnly) << i;
  EXPECT_TRUE(AskEarly(8).starts_with("TEMP too many lookups"));
}

// --- Without a resolver that validates.

TEST_F(ResolverTrustTest, NoMxOrTlsaQueryIsMadeWithoutValidation) {
  DaneDomain();
  dns.dnssec = DnssecState::kOff;
  EXPECT_EQ(Answer("example.com"), kNotFound);
  EXPECT_EQ(dns.queries_of_type(DnsType::kMx), 0);
  EXPECT_EQ(dns.queries_of_type(DnsType::kTlsa), 0);
}

TEST_F(ResolverTrustTest, MtaStsWorksWithoutValidation) {
  StsDomain();
  dns.dnssec = DnssecState::kOff;
  EXPECT_EQ(Answer("example.com"), kSecure);
}

TEST_F(ResolverTrustTest, ABrokenMxDefersNobodyWithoutValidation) {
  dns.Fail("example.com", DnsType::kMx);
  dns.dnssec = DnssecState::kOff;
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
  dns.dnssec = DnssecState::kOff;
  EXPECT_EQ(Answer("example.com"), kNotFound);
  dns.dnssec = DnssecState::kOn;
  world.Pass(1h);
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

// --- With a resolver in doubt.

TEST_F(ResolverTrustTest, InDoubtDaneIsAnsweredAsBefore) {
  DaneDomain();
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
  dns.dnssec = DnssecState::kDoubted;
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  world.Pass(2h);
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
  dns.dnssec = DnssecState::kOff;
  EXPECT_EQ(Answer("example.com"), kNotFound) << "beyond its time";
  dns.dnssec = DnssecState::kOn;
  DaneDomain();
  EXPECT_EQ(Answer("example.com"), kDaneOnly) << "nothing made without DANE";
}

TEST_F(ResolverTrustTest, InDoubtAnswersAreKeptForFiveSeconds) {
  StsDomain();
  dns.dnssec = DnssecState::kDoubted;
  EXPECT_EQ(Answer("example.com"), kSecure);
  EXPECT_EQ(KeptFor("example.com"), 5s);
}

TEST_F(ResolverTrustTest, ALookupThatEndsInDoubtTakesNoDaneAway) {
  DaneDomain();
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
  world.Pass(2h);
  dns.Mx("example.com", {"mx.example.com"}).Insecure().After(2s);
  dns.PlainHost("mx.example.com");
  const auto answer = Ask("example.com");
  dns.dnssec = DnssecState::kDoubted;
  world.Pass(2s);
  EXPECT_EQ(answer.value(), kDaneOnly);
}

TEST_F(ResolverTrustTest, AnswersFromBeforeHoldForTheirTimeWithoutValidation) {
  DaneDomain();
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
  dns.dnssec = DnssecState::kOff;
  EXPECT_EQ(KeptFor("example.com"), 1h);
}

// --- Large facts.

TEST_F(AnsweredLookupTest, ManyWithHugeTlsaSetsAreHeldInBoundedMemory) {
  const std::vector<TlsaRecord> records(15, {0, 0, 0, std::string(4096, 'x')});
  constexpr int kLookups = 300;
  FakeResolver::Names names;
  for (int i = 0; i < 128; ++i) {
    names.push_back("mx" + std::to_string(i) + ".evil.example");
    dns.A(names.back(), "198.51.100.1");
    dns.Tlsa("_25._tcp." + names.back(), records);
  }
  for (int i = 0; i < kLookups; ++i) {
    const std::string domain = "d" + std::to_string(i) + ".example";
    dns.Mx(domain, names);
    dns.NoData("_mta-sts." + domain, DnsType::kTxt).Never();
    Ask(domain);
  }
  ASSERT_EQ(service().lookups_in_flight(), size_t{kLookups});
  // All records would be 128 x 15 x 4 KiB for each.
  EXPECT_LT(service().bytes_held(), size_t{kLookups} * (160 << 10));
  EXPECT_LT(service().bytes_held(), size_t{128} << 20);
  DaneDomain();
  EXPECT_EQ(Answer("example.com"), kDaneOnly);
}

// --- Explain: for `postern-policy query`.

TEST_F(ExplainTest, WaitsUntilAllIsKnown) {
  DaneDomain();
  Publish("1");
  ServePolicy().After(20s);
  const auto lookup = world.Run(service().Explain({.domain = "example.com"}));
  ASSERT_TRUE(lookup);
  EXPECT_TRUE(lookup->complete());
  EXPECT_EQ(lookup->facts().sts.state, StsState::kEnforce);
  EXPECT_EQ(lookup->decision()->verdict, Verdict::kDaneOnly);
  EXPECT_EQ(world.clock.since_start(), 20s);
}

}  // namespace
}  // namespace postern
