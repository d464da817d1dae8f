// What DANE knows of a destination: MX sets and the states of hosts.
#include "policy-daemon/dane_lookup.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "policy-daemon/lookup.h"
#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class DaneLookupTest : public testing::Test {
 protected:
  void TearDown() override { world.End(); }

  DaneLookup::MxSet Mx(const std::string& domain) {
    return world.Run(dane.FindMx({.domain = domain}));
  }
  HostFacts Host(const std::string& host, uint16_t port = 25) {
    return world.Run(dane.FindHost(host, port));
  }
  HostState StateOf(const std::string& host) { return Host(host).state; }
  int TlsaQueries() const { return world.dns.queries_of_type(DnsType::kTlsa); }

  FakeWorld world;
  FakeResolver& dns = world.dns;
  DaneLookup dane{world.loop.get_executor(), world.clock, dns};
};

using DaneMxTest = DaneLookupTest;
using DaneHostTest = DaneLookupTest;

TEST_F(DaneMxTest, HostsComeInOrderOfPreference) {
  dns.Mx("example.com", {"b.example.com", "a.example.com"})
      .answer.mx[0]
      .preference = 90;
  const auto set = Mx("example.com");
  EXPECT_EQ(set.facts.state, MxState::kSecure);
  EXPECT_EQ(set.hosts,
            (std::vector<std::string>{"a.example.com", "b.example.com"}));
}

TEST_F(DaneMxTest, AnUnsignedMxSetIsInsecure) {
  dns.Mx("example.com", {"mx.example.com"}).Insecure();
  EXPECT_EQ(Mx("example.com").facts.state, MxState::kInsecure);
}

TEST_F(DaneMxTest, AFailedLookupIsNeverReadAsNoRecord) {
  dns.Fail("example.com", DnsType::kMx, "SERVFAIL, says the test");
  const auto set = Mx("example.com");
  EXPECT_EQ(set.facts.state, MxState::kFailed);
  EXPECT_EQ(set.facts.reason, "SERVFAIL, says the test");
  EXPECT_TRUE(set.hosts.empty());
}

TEST_F(DaneMxTest, WithoutMxRecordsTheDomainIsItsOwnHost) {
  dns.NoData("signed.example", DnsType::kMx);
  dns.NoData("unsigned.example", DnsType::kMx).Insecure();
  const auto secure = Mx("signed.example");
  EXPECT_TRUE(secure.facts.implicit);
  EXPECT_EQ(secure.facts.state, MxState::kSecure);
  EXPECT_EQ(secure.hosts, std::vector<std::string>{"signed.example"});
  const auto insecure = Mx("unsigned.example");
  EXPECT_TRUE(insecure.facts.implicit);
  EXPECT_EQ(insecure.facts.state, MxState::kInsecure);
  EXPECT_EQ(insecure.hosts, std::vector<std::string>{"unsigned.example"});
}

TEST_F(DaneMxTest, ANullMxStopsTheLookup) {
  dns.Mx("example.com", {""});
  const auto set = Mx("example.com");
  EXPECT_TRUE(set.facts.null_mx);
  EXPECT_TRUE(set.hosts.empty());
}

TEST_F(DaneMxTest, ARootAmongOtherHostsIsPassedOver) {
  dns.Mx("example.com", {"", "mx.example.com"});
  const auto set = Mx("example.com");
  EXPECT_FALSE(set.facts.null_mx);
  EXPECT_EQ(set.hosts, std::vector<std::string>{"mx.example.com"});
}

TEST_F(DaneMxTest, ANameThatDoesNotExistHasNoHosts) {
  dns.NxDomain("example.com", DnsType::kMx);
  const auto set = Mx("example.com");
  EXPECT_TRUE(set.facts.nxdomain);
  EXPECT_EQ(set.facts.state, MxState::kSecure);
  EXPECT_TRUE(set.hosts.empty());
}

TEST_F(DaneMxTest, AHostNamedTwiceIsLookedUpOnce) {
  dns.Mx("example.com", {"a.example.com", "b.example.com", "a.example.com"});
  EXPECT_EQ(Mx("example.com").hosts.size(), 2u);
}

TEST_F(DaneMxTest, OfMoreThan128HostsTheRestStaysUnexamined) {
  FakeResolver::Names names;
  for (int i = 0; i < 130; ++i)
    names.push_back("mx" + std::to_string(i) + ".example.com");
  dns.Mx("example.com", names);
  const auto set = Mx("example.com");
  EXPECT_EQ(set.hosts.size(), 128u);
  EXPECT_EQ(set.facts.unexamined, 2u);
  EXPECT_EQ(set.hosts.front(), "mx0.example.com");
}

TEST_F(DaneMxTest, Exactly128HostsAreAllExamined) {
  FakeResolver::Names names;
  for (int i = 0; i < 128; ++i)
    names.push_back("mx" + std::to_string(i) + ".example.com");
  dns.Mx("example.com", names);
  EXPECT_EQ(Mx("example.com").facts.unexamined, 0u);
}

TEST_F(DaneMxTest, AKeyInBracketsMakesNoMxQuery) {
  const auto set =
      world.Run(dane.FindMx({.domain = "mx.example.com", .is_host = true}));
  EXPECT_EQ(set.facts.state, MxState::kSecure);
  EXPECT_EQ(set.hosts, std::vector<std::string>{"mx.example.com"});
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(DaneMxTest, TheTtlIsThatOfTheAnswer) {
  dns.Mx("example.com", {"mx.example.com"}).Ttl(123);
  EXPECT_EQ(Mx("example.com").facts.ttl, 123s);
}

// --- States of a host.

TEST_F(DaneHostTest, ASecureHostWithAUsableRecordIsUsable) {
  dns.DaneHost("mx.example.com");
  const HostFacts host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUsable);
  EXPECT_TRUE(host.secure_address);
  EXPECT_EQ(host.tlsa_base, "mx.example.com");
  EXPECT_EQ(host.tlsa, std::vector<TlsaRecord>{UsableTlsa()});
}

TEST_F(DaneHostTest, OneUsableRecordAmongOthersIsEnough) {
  dns.A("mx.example.com", "198.51.100.1");
  dns.Tlsa("_25._tcp.mx.example.com", {UnusableTlsa(), UsableTlsa()});
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUsable);
}

TEST_F(DaneHostTest, RecordsThatSmtpCannotUseAreUnusable) {
  dns.A("mx.example.com", "198.51.100.1");
  dns.Tlsa("_25._tcp.mx.example.com", {UnusableTlsa()});
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUnusable);
}

TEST_F(DaneHostTest, ThePortOfTheKeyIsThePortOfTheRecords) {
  dns.A("mx.example.com", "198.51.100.1");
  dns.Tlsa("_587._tcp.mx.example.com", {UsableTlsa()});
  EXPECT_EQ(Host("mx.example.com", 587).state, HostState::kUsable);
  EXPECT_EQ(Host("mx.example.com", 25).state, HostState::kNone);
}

TEST_F(DaneHostTest, ProvenToHaveNoRecordsIsNone) {
  dns.A("a.example.com", "198.51.100.1");
  dns.A("b.example.com", "198.51.100.1");
  dns.NxDomain("_25._tcp.b.example.com", DnsType::kTlsa);
  EXPECT_EQ(StateOf("a.example.com"), HostState::kNone);
  EXPECT_EQ(StateOf("b.example.com"), HostState::kNone);
}

TEST_F(DaneHostTest, InsecureTlsaRecordsAreNone) {
  dns.A("mx.example.com", "198.51.100.1");
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()}).Insecure();
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kNone);
}

TEST_F(DaneHostTest, AFailedTlsaLookupIsUnknown) {
  dns.A("mx.example.com", "198.51.100.1");
  dns.Fail("_25._tcp.mx.example.com", DnsType::kTlsa, "timed out");
  const HostFacts host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUnknown);
  EXPECT_EQ(host.reason, "TLSA lookup of _25._tcp.mx.example.com: timed out");
}

TEST_F(DaneHostTest, AnInsecureAddressIsNoneWithoutATlsaQuery) {
  dns.PlainHost("mx.example.com");
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kNone);
  EXPECT_EQ(TlsaQueries(), 0);
}

TEST_F(DaneHostTest, AnInsecureAAndAFailingAaaaAreNone) {
  dns.A("mx.example.com", "198.51.100.1").Insecure();
  dns.Fail("mx.example.com", DnsType::kAaaa);
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kNone);
  EXPECT_EQ(TlsaQueries(), 0);
}

TEST_F(DaneHostTest, AFailingAAndAnInsecureAaaaAreNone) {
  dns.Fail("mx.example.com", DnsType::kA);
  dns.Aaaa("mx.example.com", "2001:db8::1").Insecure().After(1s);
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kNone);
  EXPECT_EQ(TlsaQueries(), 0);
}

TEST_F(DaneHostTest, InsecureNoDataAndAFailureAreUnknown) {
  dns.NoData("mx.example.com", DnsType::kA).Insecure();
  dns.Fail("mx.example.com", DnsType::kAaaa);
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUnknown);
  EXPECT_EQ(TlsaQueries(), 0);
}

// What one family may say, and what both say together, whichever comes first.
struct FamilyCase {
  enum Says { kSecure, kInsecure, kNoData, kInsecureNoData, kFails };
  Says one, other;
  HostState state;
};

class FamiliesTest : public DaneLookupTest {
 protected:
  void Say(DnsType type, FamilyCase::Says says, Duration after) {
    FakeAnswer* answer = nullptr;
    if (says == FamilyCase::kFails)
      answer = &dns.Fail("mx.example.com", type);
    else if (says == FamilyCase::kNoData || says == FamilyCase::kInsecureNoData)
      answer = &dns.NoData("mx.example.com", type);
    else if (type == DnsType::kA)
      answer = &dns.A("mx.example.com", "198.51.100.1");
    else
      answer = &dns.Aaaa("mx.example.com", "2001:db8::1");
    answer->After(after);
    if (says == FamilyCase::kInsecure || says == FamilyCase::kInsecureNoData)
      answer->Insecure();
  }
};

TEST_F(FamiliesTest, DecideTogetherInWhateverOrderTheyCome) {
  using enum FamilyCase::Says;
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  for (const auto& [one, other, state] : {
           FamilyCase{kSecure, kSecure, HostState::kUsable},
           FamilyCase{kSecure, kInsecure, HostState::kNone},
           FamilyCase{kSecure, kNoData, HostState::kUsable},
           FamilyCase{kSecure, kInsecureNoData, HostState::kUsable},
           FamilyCase{kSecure, kFails, HostState::kUsable},
           FamilyCase{kInsecure, kInsecure, HostState::kNone},
           FamilyCase{kInsecure, kNoData, HostState::kNone},
           FamilyCase{kInsecure, kInsecureNoData, HostState::kNone},
           FamilyCase{kInsecure, kFails, HostState::kNone},
           FamilyCase{kNoData, kNoData, HostState::kNoAddress},
           FamilyCase{kNoData, kInsecureNoData, HostState::kNoAddress},
           FamilyCase{kNoData, kFails, HostState::kUnknown},
           FamilyCase{kInsecureNoData, kInsecureNoData, HostState::kNoAddress},
           FamilyCase{kInsecureNoData, kFails, HostState::kUnknown},
           FamilyCase{kFails, kFails, HostState::kUnknown},
       }) {
    for (const bool one_is_v4 : {true, false}) {
      for (const Duration lead : {Duration(0), Duration(2ms), Duration(-2ms)}) {
        const DnsType type = one_is_v4 ? DnsType::kA : DnsType::kAaaa;
        const DnsType rest = one_is_v4 ? DnsType::kAaaa : DnsType::kA;
        Say(type, one, std::max(lead, Duration(0)));
        Say(rest, other, std::max(-lead, Duration(0)));
        EXPECT_EQ(StateOf("mx.example.com"), state)
            << one << ' ' << other << ' ' << one_is_v4 << ' ' << lead.count();
      }
    }
  }
}

TEST_F(DaneHostTest, AnInsecureAIsNotHeldByAnAaaaThatNeverAnswers) {
  dns.A("mx.example.com", "198.51.100.1").Insecure();
  dns.NoData("mx.example.com", DnsType::kAaaa).Never();
  const auto host = world.Start(dane.FindHost("mx.example.com", 25));
  EXPECT_EQ(host.value().state, HostState::kNone);
}

TEST_F(DaneHostTest, ASecureAIsNotHeldLongByAnAaaaThatNeverAnswers) {
  dns.DaneHost("mx.example.com");
  dns.NoData("mx.example.com", DnsType::kAaaa).Never();
  const auto host = world.Start(dane.FindHost("mx.example.com", 25));
  world.Pass(3s);
  EXPECT_EQ(host.value().state, HostState::kUsable);
}

TEST_F(DaneHostTest, ASecureAaaaIsNotHeldLongByAnAThatNeverAnswers) {
  dns.Aaaa("mx.example.com", "2001:db8::1");
  dns.NoData("mx.example.com", DnsType::kA).Never();
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  const auto host = world.Start(dane.FindHost("mx.example.com", 25));
  world.Pass(3s);
  EXPECT_EQ(host.value().state, HostState::kUsable);
}

TEST_F(DaneHostTest, ASecureAddressFromOneFamilyIsEnough) {
  dns.Fail("mx.example.com", DnsType::kA);
  dns.Aaaa("mx.example.com", "2001:db8::1");
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUsable);
}

TEST_F(DaneHostTest, BothFamiliesFailingIsUnknown) {
  dns.Fail("mx.example.com", DnsType::kA, "timed out");
  dns.Fail("mx.example.com", DnsType::kAaaa, "timed out").After(3s);
  const HostFacts host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUnknown);
  EXPECT_NE(host.reason.find("timed out"), std::string::npos);
  EXPECT_EQ(TlsaQueries(), 0);
}

TEST_F(DaneHostTest, SecureNoDataAndAFailureAreUnknown) {
  dns.NoData("mx.example.com", DnsType::kA);
  dns.Fail("mx.example.com", DnsType::kAaaa);
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUnknown);
}

TEST_F(DaneHostTest, FamiliesThatNeverAnswerEndAsUnknown) {
  dns.SilentHost("mx.example.com");
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUnknown);
}

TEST_F(DaneHostTest, AHostProvenToHaveNoAddressIsDropped) {
  dns.NxDomain("b.example.com", DnsType::kA).Insecure();
  dns.NxDomain("b.example.com", DnsType::kAaaa).Insecure();
  EXPECT_EQ(StateOf("a.example.com"), HostState::kNoAddress);
  EXPECT_EQ(StateOf("b.example.com"), HostState::kNoAddress);
  EXPECT_EQ(TlsaQueries(), 0);
}

TEST_F(DaneHostTest, AnInvalidNameIsDroppedWithoutALookup) {
  for (const char* name : {"-a.example.com", "a b.example.com", "192.0.2.1",
                           "a\\046b.example.com", "a..example.com"})
    EXPECT_EQ(StateOf(name), HostState::kNoAddress) << name;
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(DaneHostTest, AnUnderscoreInANameIsFine) {
  dns.DaneHost("mx_1.example.com");
  EXPECT_EQ(StateOf("mx_1.example.com"), HostState::kUsable);
}

// --- What is kept of many and large records.

TEST_F(DaneHostTest, LargeRecordsAreJudgedAndLeftOut) {
  dns.A("mx.example.com", "198.51.100.1");
  std::vector<TlsaRecord> records(15, {0, 0, 0, std::string(4096, 'x')});
  dns.Tlsa("_25._tcp.mx.example.com", records);
  HostFacts host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUnusable);
  EXPECT_TRUE(host.web_tlsa_only);
  EXPECT_EQ(host.tlsa.size(), 2u);
  EXPECT_EQ(host.tlsa_left_out, 13u);
  // The last of them decides, and is kept before all others.
  records.push_back(UsableTlsa());
  dns.Tlsa("_25._tcp.mx.example.com", records);
  host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUsable);
  EXPECT_EQ(host.tlsa.front(), UsableTlsa());
  EXPECT_LE(TlsaBytes(host), kMaxTlsaBytes + kMaxTlsaRecords * 64);
}

// --- A host that is a CNAME (RFC 7672 section 2.2.3).

TEST_F(DaneHostTest, RecordsAreLookedUpAtTheEndOfASecureChainFirst) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net");
  dns.Tlsa("_25._tcp.real.example.net", {UsableTlsa()});
  dns.Tlsa("_25._tcp.mx.example.com", {UnusableTlsa()});
  const HostFacts host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUsable);
  EXPECT_EQ(host.tlsa_base, "real.example.net");
  EXPECT_EQ(TlsaQueries(), 1);
}

TEST_F(DaneHostTest, ThenAtTheOriginalName) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net");
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  const HostFacts host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUsable);
  EXPECT_EQ(host.tlsa_base, "mx.example.com");
  EXPECT_EQ(dns.queries("_25._tcp.real.example.net", DnsType::kTlsa), 1);
}

TEST_F(DaneHostTest, AChainWithoutRecordsAtEitherEndIsNone) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net");
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kNone);
  EXPECT_EQ(TlsaQueries(), 2);
}

TEST_F(DaneHostTest, AFailureAtTheEndOfTheChainIsUnknown) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net");
  dns.Fail("_25._tcp.real.example.net", DnsType::kTlsa);
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUnknown);
}

TEST_F(DaneHostTest, BehindASecureAliasTheOriginalNameIsTheBase) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net").Insecure();
  dns.Cname("mx.example.com", "real.example.net");
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  const HostFacts host = Host("mx.example.com");
  EXPECT_EQ(host.state, HostState::kUsable);
  EXPECT_EQ(host.tlsa_base, "mx.example.com");
  EXPECT_FALSE(host.secure_address);
  EXPECT_EQ(dns.queries("_25._tcp.real.example.net", DnsType::kTlsa), 0);
}

TEST_F(DaneHostTest, ASecureAliasWithoutRecordsIsNone) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net").Insecure();
  dns.Cname("mx.example.com", "real.example.net");
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kNone);
}

TEST_F(DaneHostTest, AnInsecureAliasIsNoneWithoutATlsaQuery) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net").Insecure();
  dns.Cname("mx.example.com", "real.example.net").Insecure();
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kNone);
  EXPECT_EQ(TlsaQueries(), 0);
}

TEST_F(DaneHostTest, AnAliasThatCannotBeJudgedIsUnknown) {
  dns.A("mx.example.com", "198.51.100.1").Alias("real.example.net").Insecure();
  dns.Fail("mx.example.com", DnsType::kCname);
  EXPECT_EQ(StateOf("mx.example.com"), HostState::kUnknown);
  EXPECT_EQ(TlsaQueries(), 0);
}

TEST_F(DaneHostTest, NoCnameQueryIsMadeWhereNoneIsNeeded) {
  dns.PlainHost("plain.example.com");
  dns.DaneHost("dane.example.com");
  Host("plain.example.com");
  Host("dane.example.com");
  EXPECT_EQ(dns.queries_of_type(DnsType::kCname), 0);
}

TEST_F(DaneHostTest, TheSmallestTtlCounts) {
  dns.A("mx.example.com", "198.51.100.1").Ttl(500);
  dns.NoData("mx.example.com", DnsType::kAaaa).Ttl(1000).After(1s);
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()}).Ttl(400);
  EXPECT_EQ(Host("mx.example.com").ttl, 400s);
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()}).Ttl(900);
  EXPECT_EQ(Host("mx.example.com").ttl, 500s);
}

TEST_F(DaneHostTest, FamiliesAreAskedAtTheSameTime) {
  dns.A("mx.example.com", "198.51.100.1").After(1s);
  dns.Aaaa("mx.example.com", "2001:db8::1").After(1s);
  dns.Tlsa("_25._tcp.mx.example.com", {UsableTlsa()});
  const auto host = world.Start(dane.FindHost("mx.example.com", 25));
  EXPECT_EQ(dns.in_flight(), 2);
  world.Pass(1s);
  EXPECT_TRUE(host.done());
}

}  // namespace
}  // namespace postern
