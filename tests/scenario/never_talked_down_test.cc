// Never talked down (RFC 8461 sections 3.3 and 10.2): a policy that was valid
// once stays in force until its max_age, whatever an attacker or an outage does
// to DNS and to the policy host, and over restarts. Only a valid newer policy
// over valid HTTPS replaces it.
#include <functional>

#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr Seconds kMaxAge{2 * kDay};
constexpr char kBogus[] = "SERVFAIL (DNSSEC validation failed)";

// What is done to the world, once the policy is remembered.
struct World {
  FakeResolver& dns;
  FakeHttps& https;
};
struct Attack {
  const char* name;
  std::function<void(World)> begin;
  // The policy is not fetched again meanwhile: it ends at its max_age.
  bool ends = true;
};

std::string NameOf(const testing::TestParamInfo<Attack>& attack) {
  return attack.param.name;
}

class RememberedTest : public EngineTest {
 protected:
  // The policy is remembered; it was fetched at `fetched`.
  RememberedTest() {
    StsDomain("enforce", kMaxAge.count());
    StartRefresher();
    EXPECT_EQ(Answer(kDomain), kSecure);
    fetched = world.clock.since_start();
  }
  // Asks every two hours, until just before the policy ends.
  void ExpectInForceUntilMaxAge() {
    const Duration end = fetched + kMaxAge;
    while (world.clock.since_start() + 2h < end) {
      world.Pass(2h);
      ASSERT_EQ(Answer(kDomain), kSecure)
          << std::chrono::floor<Seconds>(world.clock.since_start()).count();
    }
    world.Pass(end - 1s - world.clock.since_start());
    EXPECT_EQ(Answer(kDomain), kSecure);
  }
  void ExpectEnded() {
    // (A question joins the lookup that was under way a second before.)
    world.Pass(fetched + kMaxAge + 10s - world.clock.since_start());
    // A slow policy file may hold mail once.
    int held = 0;
    for (int hour = 0; hour < 5; ++hour) {
      const std::string answer = AnswerWithin(8s, kDomain);
      held += answer.starts_with("TEMP ");
      EXPECT_NE(answer, kSecure);
      world.Pass(1h);
    }
    EXPECT_LE(held, 1);
    EXPECT_EQ(AnswerWithin(8s, kDomain), kNotFound);
  }

  Duration fetched{};
};

class NeverTalkedDownTest : public RememberedTest,
                            public testing::WithParamInterface<Attack> {
 protected:
  void Begin() {
    const Attack& attack = GetParam();
    attack.begin({dns, https});
  }
};

// --- The TXT record. (The policy host is down, too: it could refresh the
// policy where the record's lookup only fails.)

void HostDown(World world) {
  world.https.Fail(kPolicyHost, HttpsFailure::kConnect);
}

const Attack kTxtAttacks[] = {
    {"NoDataSecure",
     [](World world) { world.dns.NoData(kTxtName, DnsType::kTxt); }},
    {"NoDataInsecure",
     [](World world) { world.dns.NoData(kTxtName, DnsType::kTxt).Insecure(); }},
    {"NxDomainSecure",
     [](World world) { world.dns.NxDomain(kTxtName, DnsType::kTxt); }},
    {"NxDomainInsecure",
     [](World world) {
       world.dns.NxDomain(kTxtName, DnsType::kTxt).Insecure();
     }},
    {"Servfail",
     [](World world) {
       world.dns.Fail(kTxtName, DnsType::kTxt);
       HostDown(world);
     }},
    {"Bogus",
     [](World world) {
       world.dns.Fail(kTxtName, DnsType::kTxt, kBogus);
       HostDown(world);
     }},
    {"Timeout",
     [](World world) {
       world.dns.Fail(kTxtName, DnsType::kTxt, "timeout").After(5s);
       HostDown(world);
     }},
    {"ForeignRecords",
     [](World world) { world.dns.Txt(kTxtName, {"v=spf1 -all"}); }},
    {"AnInvalidRecord",
     [](World world) { world.dns.Txt(kTxtName, {"v=STSv1; id=no-id"}); }},
    {"TwoRecords",
     [](World world) {
       world.dns.Txt(kTxtName, {"v=STSv1; id=2", "v=STSv1; id=3"});
     }},
};

// --- The MX set. TXT and policy file are as they were.

const Attack kMxAttacks[] = {
    {"ForgedNxDomain",
     [](World world) { world.dns.NxDomain(kDomain, DnsType::kMx).Insecure(); },
     false},
    {"ForgedNullMx",
     [](World world) { world.dns.Mx(kDomain, {""}).Insecure(); }, false},
    {"ForgedEmptyAnswer",
     [](World world) { world.dns.NoData(kDomain, DnsType::kMx).Insecure(); },
     false},
    {"ForgedHost",
     [](World world) {
       world.dns.Mx(kDomain, {"mx.attacker.example"}).Insecure();
       world.dns.PlainHost("mx.attacker.example");
     },
     false},
    {"HostWithoutAddress",
     [](World world) {
       world.dns.NxDomain("mx.example.com", DnsType::kA).Insecure();
       world.dns.NxDomain("mx.example.com", DnsType::kAaaa).Insecure();
     },
     false},
    {"HostsAddressFails",
     [](World world) {
       world.dns.Fail("mx.example.com", DnsType::kA);
       world.dns.Fail("mx.example.com", DnsType::kAaaa);
     },
     false},
    {"ForgedNxDomainForAll",
     [](World world) {
       world.dns.NxDomain(kDomain, DnsType::kMx).Insecure();
       world.dns.NxDomain(kTxtName, DnsType::kTxt).Insecure();
       world.dns.NxDomain(kPolicyHost, DnsType::kA).Insecure();
     }},
};

// --- The policy host.

const Attack kHostAttacks[] = {
    {"Refuses", HostDown},
    {"DoesNotAnswer", [](World world) { world.https.BlackHole(kPolicyHost); }},
    {"DripsForEver", [](World world) { world.https.Drip(kPolicyHost); }},
    {"HasNoAddress",
     [](World world) { world.dns.NxDomain(kPolicyHost, DnsType::kA); }},
    {"AddressLookupFails",
     [](World world) {
       world.dns.Fail(kPolicyHost, DnsType::kA);
       world.dns.Fail(kPolicyHost, DnsType::kAaaa);
     }},
    {"AddressLookupHangs",
     [](World world) {
       world.dns.Fail(kPolicyHost, DnsType::kA, "timeout").After(20s);
       world.dns.Fail(kPolicyHost, DnsType::kAaaa, "timeout").After(20s);
     }},
    {"HasAPrivateAddress",
     [](World world) { world.dns.A(kPolicyHost, "10.0.0.1"); }},
    {"NotFound",
     [](World world) { world.https.Serve(kPolicyHost, "").Status(404); }},
    {"ServerError",
     [](World world) { world.https.Serve(kPolicyHost, "").Status(503); }},
    {"Redirects",
     [](World world) {
       world.https.Serve(kPolicyHost, PolicyText("none", "", kDay)).Status(301);
     }},
    {"BadCertificate",
     [](World world) {
       world.https.Fail(kPolicyHost, HttpsFailure::kCertificate);
     }},
    {"BrokenTls",
     [](World world) { world.https.Fail(kPolicyHost, HttpsFailure::kTls); }},
    {"NoHttp",
     [](World world) {
       world.https.Fail(kPolicyHost, HttpsFailure::kProtocol);
     }},
    {"WrongMediaType",
     [](World world) {
       world.https.Serve(kPolicyHost, PolicyText("none", "", kDay))
           .Type("text/html");
     }},
    {"Encoded",
     [](World world) {
       world.https.Serve(kPolicyHost, PolicyText("none", "", kDay))
           .Encoding("gzip");
     }},
    {"Oversized",
     [](World world) {
       world.https.Serve(kPolicyHost, PolicyText("none", "", kDay) +
                                          std::string(65536, '\n'));
     }},
    {"EmptyPolicy", [](World world) { world.https.Serve(kPolicyHost, ""); }},
    {"InvalidPolicy",
     [](World world) {
       world.https.Serve(kPolicyHost, "version: STSv1\nmode: none\n");
     }},
    {"InvalidMx",
     [](World world) {
       world.https.Serve(kPolicyHost, PolicyText("enforce", "192.0.2.1", kDay));
     }},
};

INSTANTIATE_TEST_SUITE_P(Txt, NeverTalkedDownTest,
                         testing::ValuesIn(kTxtAttacks), NameOf);
INSTANTIATE_TEST_SUITE_P(Mx, NeverTalkedDownTest, testing::ValuesIn(kMxAttacks),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(PolicyHost, NeverTalkedDownTest,
                         testing::ValuesIn(kHostAttacks), NameOf);

TEST_P(NeverTalkedDownTest, ThePolicyIsInForceUntilItsMaxAge) {
  Begin();
  ExpectInForceUntilMaxAge();
  if (GetParam().ends) ExpectEnded();
}

TEST_P(NeverTalkedDownTest, ARestartInTheMiddleChangesNothing) {
  Begin();
  world.Pass(20h);
  Restart();
  EXPECT_EQ(Answer(kDomain), kSecure);
  ExpectInForceUntilMaxAge();
  if (GetParam().ends) ExpectEnded();
}

TEST_P(NeverTalkedDownTest, NoAnswerWaitsForIt) {
  Begin();
  world.Pass(3h);
  const auto answer = Ask(kDomain);
  EXPECT_TRUE(answer.done());
}

// --- The same with a new id, so that a question asks for the new policy.

using NewIdTest = NeverTalkedDownTest;

INSTANTIATE_TEST_SUITE_P(PolicyHost, NewIdTest, testing::ValuesIn(kHostAttacks),
                         NameOf);

TEST_P(NewIdTest, ThePolicyIsInForceUntilItsMaxAge) {
  Begin();
  // (The record alone: Publish() would mend the host's address.)
  dns.Txt(kTxtName, {"v=STSv1; id=2"}).Insecure();
  ExpectInForceUntilMaxAge();
  ExpectEnded();
}

// --- What does replace it: a valid policy over valid HTTPS.

class ReplacedTest : public RememberedTest {
 protected:
  void ReplaceBy(const std::string& policy) {
    Publish("2");
    Serve(policy);
    world.Pass(1h + 1min);  // the record's TTL
  }
};
TEST_F(ReplacedTest, ByAnEnforcePolicy) {
  ReplaceBy(PolicyText("enforce", "mx2.example.com", kDay));
  EXPECT_EQ(Answer(kDomain),
            "OK secure match=mx2.example.com servername=hostname");
}

TEST_F(ReplacedTest, ByATestingPolicy) {
  ReplaceBy(PolicyText("testing", "mx.example.com", kDay));
  EXPECT_EQ(Answer(kDomain), kNotFound);
}

TEST_F(ReplacedTest, ByModeNone) {
  ReplaceBy(PolicyText("none", "", kDay));
  EXPECT_EQ(Answer(kDomain), kNotFound);
}

TEST_F(ReplacedTest, ByModeNoneForNoTime) {
  ReplaceBy(PolicyText("none", "", 0));
  EXPECT_EQ(Answer(kDomain), kNotFound);
}

TEST_F(ReplacedTest, WithinADayWhereTheOwnerForgotTheId) {
  ServePolicy("none", "", kDay);
  world.Pass(17h);
  EXPECT_EQ(Answer(kDomain), kNotFound);
}

TEST_F(ReplacedTest, AlsoAfterARestart) {
  ReplaceBy(PolicyText("testing", "mx.example.com", kDay));
  Restart();
  EXPECT_EQ(Answer(kDomain), kNotFound);
}

// --- Who can only block DNS does not ride out the max_age.

TEST_F(RememberedTest, ARecordThatFailsDoesNotEndAPolicyThatIsServed) {
  dns.Fail(kTxtName, DnsType::kTxt);
  for (int hour = 0; hour < 10 * 24; hour += 2) {
    world.Pass(2h);
    ASSERT_EQ(Answer(kDomain), kSecure) << hour;
  }
}

// --- DANE of a signed MX set (RFC 7672 section 2.1): what fails is never read
// as absence.

struct DaneFault {
  const char* name;
  std::function<void(FakeResolver&)> begin;
};

class DaneFaultTest : public EngineTest,
                      public testing::WithParamInterface<DaneFault> {
 protected:
  DaneFaultTest() { DaneDomain(); }
  void Begin() {
    const DaneFault& fault = GetParam();
    fault.begin(dns);
  }
  static bool IsTemp(const std::string& answer) {
    return answer.starts_with("TEMP ");
  }
};

constexpr char kMxHost[] = "mx.example.com";
constexpr char kTlsaName[] = "_25._tcp.mx.example.com";

const DaneFault kDaneFaults[] = {
    {"TlsaServfail",
     [](FakeResolver& dns) { dns.Fail(kTlsaName, DnsType::kTlsa); }},
    {"TlsaBogus",
     [](FakeResolver& dns) { dns.Fail(kTlsaName, DnsType::kTlsa, kBogus); }},
    {"TlsaTimeout",
     [](FakeResolver& dns) {
       dns.Fail(kTlsaName, DnsType::kTlsa, "timeout").After(5s);
     }},
    {"TlsaNeverAnswers",
     [](FakeResolver& dns) { dns.NoData(kTlsaName, DnsType::kTlsa).Never(); }},
    {"AddressServfail",
     [](FakeResolver& dns) {
       dns.Fail(kMxHost, DnsType::kA);
       dns.Fail(kMxHost, DnsType::kAaaa);
     }},
    {"AddressBogus",
     [](FakeResolver& dns) {
       dns.Fail(kMxHost, DnsType::kA, kBogus);
       dns.Fail(kMxHost, DnsType::kAaaa, kBogus);
     }},
    {"OneFamilyFailsTheOtherIsAbsent",
     [](FakeResolver& dns) { dns.Fail(kMxHost, DnsType::kA); }},
    {"AddressNeverAnswers", [](FakeResolver& dns) { dns.SilentHost(kMxHost); }},
    {"MxServfail", [](FakeResolver& dns) { dns.Fail(kDomain, DnsType::kMx); }},
    {"MxBogus",
     [](FakeResolver& dns) { dns.Fail(kDomain, DnsType::kMx, kBogus); }},
    {"MxNeverAnswers",
     [](FakeResolver& dns) { dns.NoData(kDomain, DnsType::kMx).Never(); }},
};

INSTANTIATE_TEST_SUITE_P(Each, DaneFaultTest, testing::ValuesIn(kDaneFaults),
                         [](const auto& fault) {
                           return std::string(fault.param.name);
                         });

TEST_P(DaneFaultTest, UnderEnforceItIsTempAndNeverSecure) {
  Publish("1");
  ServePolicy();
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
  world.Pass(2h);
  Begin();
  EXPECT_TRUE(IsTemp(AnswerWithin(8s, kDomain)));
}

TEST_P(DaneFaultTest, WithoutMtaStsItIsDaneOrTempAndNeverNotFound) {
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
  world.Pass(2h);
  Begin();
  const std::string answer = AnswerWithin(8s, kDomain);
  EXPECT_TRUE(answer == kDane || IsTemp(answer)) << answer;
}

TEST_P(DaneFaultTest, ItIsTheSameAfterARestart) {
  Publish("1");
  ServePolicy();
  Answer(kDomain);
  Begin();
  Restart();
  EXPECT_TRUE(IsTemp(AnswerWithin(8s, kDomain)));
}

// --- The clock.

class ClockTest : public EngineTest {
 protected:
  // Somebody sets the clock, which was wrong by `step` until now.
  void Correct(Seconds step) { world.clock.StepWall(-step); }
};

constexpr Seconds kFar{400 * kDay};

TEST_F(ClockTest, AFailureFromTheFutureKeepsNobodyFromTrying) {
  world.clock.StepWall(kFar);
  StsDomain();
  https.Fail(kPolicyHost, HttpsFailure::kCertificate);
  EXPECT_EQ(Answer(kDomain), kNotFound);
  Correct(kFar);
  ServePolicy();
  world.Pass(2h);
  EXPECT_EQ(Answer(kDomain), kSecure);
}

TEST_F(ClockTest, AFailureFromTheFutureKeepsNoRefreshFromTrying) {
  StsDomain();
  StartRefresher();
  EXPECT_EQ(Answer(kDomain), kSecure);
  world.clock.StepWall(Seconds(3 * kDay));
  https.Fail(kPolicyHost, HttpsFailure::kCertificate);
  Publish("2");
  world.Pass(2h);
  Correct(Seconds(3 * kDay));
  ServePolicy("enforce", "mx2.example.com");
  world.Pass(2h);
  EXPECT_EQ(Answer(kDomain),
            "OK secure match=mx2.example.com servername=hostname");
}

TEST_F(ClockTest, APolicyFromTheFutureEndsAsIfItWereFetchedNow) {
  world.clock.StepWall(kFar);
  StsDomain();
  EXPECT_EQ(Answer(kDomain), kSecure);
  Correct(kFar);
  dns.NoData(kTxtName, DnsType::kTxt);
  const StsFacts facts = LearnSts();
  EXPECT_EQ(facts.state, StsState::kEnforce);
  EXPECT_EQ(facts.expires_at, world.clock.WallNow() + Seconds(kWeek));
}

// A policy is remembered; then the clock is set by `step`, for `stays`, while
// nothing can be fetched; then it is set right.
struct Leap {
  const char* name;
  Seconds step;
  Seconds stays;
  bool at_start;
};

class LeapTest : public EngineTest, public testing::WithParamInterface<Leap> {
 protected:
  void Correct() { world.clock.StepWall(-GetParam().step); }
};

constexpr Leap kLeaps[] = {
    {"AheadForTwoSeconds", kFar, Seconds(2), false},
    {"AheadForAnHour", kFar, Seconds(3600), false},
    {"AheadForADay", kFar, Seconds(kDay), false},
    {"AheadForThreeDays", kFar, Seconds(3 * kDay), false},
    {"BackForTwoSeconds", -kFar, Seconds(2), false},
    {"BackForAnHour", -kFar, Seconds(3600), false},
    {"AheadAtTheStart", kFar, Seconds(60), true},
    {"BackAtTheStart", -kFar, Seconds(60), true},
};

INSTANTIATE_TEST_SUITE_P(Each, LeapTest, testing::ValuesIn(kLeaps),
                         [](const auto& leap) {
                           return std::string(leap.param.name);
                         });

TEST_P(LeapTest, WhatWasRememberedIsInForceWhenItIsSetRight) {
  const Leap& leap = GetParam();
  world.store.longest_pause = Seconds(1);
  StsDomain("enforce", 30 * kDay);
  StartRefresher();
  EXPECT_EQ(Answer(kDomain), kSecure);
  world.Pass(1h);
  HostDown({dns, https});
  dns.NoData(kTxtName, DnsType::kTxt);
  world.clock.StepWall(leap.step);
  if (leap.at_start) Restart();
  world.Pass(leap.stays);
  if (leap.step < Seconds(0)) {
    EXPECT_EQ(Answer(kDomain), kSecure);
  }
  Correct();
  if (leap.at_start) Restart();
  world.Pass(1h);
  EXPECT_EQ(Answer(kDomain), kSecure);
}

TEST_F(ClockTest, APolicyFromTheFutureIsFetchedAtOnce) {
  world.clock.StepWall(kFar);
  StsDomain();
  StartRefresher();
  EXPECT_EQ(Answer(kDomain), kSecure);
  world.store.longest_pause = Seconds(1);
  Correct(kFar);
  ServePolicy("enforce", "mx2.example.com");
  world.Pass(1h);
  EXPECT_EQ(https.fetches(), 2);
  EXPECT_LE(Memory().policy->fetched_at, world.clock.WallNow());
  EXPECT_EQ(Answer(kDomain),
            "OK secure match=mx2.example.com servername=hostname");
}

TEST_F(ClockTest, WhatReallyExpiredGoesAfterAWeekOfEvenClock) {
  world.store.longest_pause = Seconds(60);
  StsDomain("enforce", kDay);
  StartRefresher();
  EXPECT_EQ(Answer(kDomain), kSecure);
  HostDown({dns, https});
  dns.NoData(kTxtName, DnsType::kTxt);
  world.Pass(6 * 24h);
  EXPECT_EQ(Answer(kDomain), kNotFound) << "it is ignored";
  EXPECT_TRUE(Memory().policy);
  Restart();
  world.Pass(24h);
  EXPECT_FALSE(Memory().policy);
}

}  // namespace
}  // namespace postern
