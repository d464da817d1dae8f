// Refreshes: policies in use never lapse, news are seen within the record's
// TTL, no answer waits for any of it, and it keeps within its share.
#include "policy-daemon/refresher.h"

#include <functional>

#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

// The agenda is looked at once a second, and once more before something ends.
constexpr Seconds kSlack{5};

class RefresherTest : public EngineTest {
 protected:
  RefresherTest() {
    StsDomain();
    StartRefresher();
  }

  void Remember() {
    Answer(kDomain);
    ASSERT_TRUE(Memory().policy);
  }
  int TxtQueries() { return dns.queries(kTxtName, DnsType::kTxt); }
  int Fetches() { return https.fetches(kPolicyHost); }
  // The pauses between the fetches from the `first` on.
  std::vector<Seconds> Pauses(size_t first) {
    std::vector<Seconds> pauses;
    for (size_t i = first + 1; i < https.times.size(); ++i)
      pauses.push_back(
          std::chrono::floor<Seconds>(https.times[i] - https.times[i - 1]));
    return pauses;
  }
  double Refreshes(const char* result) {
    return Count("postern_refreshes_total", {{"result", result}});
  }
  // `domain` is remembered, used just now, and due from now on. Its record
  // asks for a refetch where `id` is not "1".
  void MakeDue(const std::string& domain, const std::string& id = "1") {
    dns.Txt("_mta-sts." + domain, {"v=STSv1; id=" + id});
    const WallTime now = world.clock.WallNow();
    StoredPolicy stored;
    stored.policy = std::make_shared<const StsPolicy>(
        *ParseStsPolicy(PolicyText("enforce", "mx." + domain, kWeek)));
    stored.id = "1";
    stored.fetched_at = now;
    stored.expires_at = now + Seconds(kWeek);
    stored.refetch_at = now + Seconds(kDay / 2);
    stored.check_at = now;
    stored.used_at = now;
    world.store.Load(domain, stored);
  }
  static std::string Name(int i) {
    return "d" + std::to_string(i) + ".example";
  }
  static std::string Address(int i) {
    return "8.8." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
  }
};

using RecheckTest = RefresherTest;
using RefetchTest = RefresherTest;
using BackOffTest = RefresherTest;
using IdleTest = RefresherTest;
using NeverLapseTest = RefresherTest;
using RefreshLimitTest = RefresherTest;

// --- The TXT record is rechecked at its TTL.

TEST_F(RecheckTest, AtItsTtlWithoutAnyQuestion) {
  Publish("1").Ttl(700);
  Remember();
  world.Pass(699s);
  EXPECT_EQ(TxtQueries(), 1);
  world.Pass(kSlack);
  EXPECT_EQ(TxtQueries(), 2);
  world.Pass(6250s);
  EXPECT_EQ(TxtQueries(), 10);
  EXPECT_EQ(Fetches(), 1) << "nothing has changed";
}

TEST_F(RecheckTest, NotBeforeFiveMinutes) {
  Publish("1").Ttl(1);
  Remember();
  world.Pass(299s);
  EXPECT_EQ(TxtQueries(), 1);
  world.Pass(kSlack);
  EXPECT_EQ(TxtQueries(), 2);
}

TEST_F(RecheckTest, AfterAnHourAtTheLatest) {
  Publish("1").Ttl(kWeek);
  Remember();
  world.Pass(3599s);
  EXPECT_EQ(TxtQueries(), 1);
  world.Pass(kSlack);
  EXPECT_EQ(TxtQueries(), 2);
}

TEST_F(RecheckTest, AFailureIsRepeatedInAQuarterOfAnHour) {
  Remember();
  dns.Fail(kTxtName, DnsType::kTxt);
  world.Pass(1h + kSlack);
  EXPECT_EQ(TxtQueries(), 2);
  world.Pass(14min);
  EXPECT_EQ(TxtQueries(), 2);
  world.Pass(1min + kSlack);
  EXPECT_EQ(TxtQueries(), 3);
}

TEST_F(RecheckTest, AChangedIdIsFetchedWithoutAnyQuestion) {
  Remember();
  Publish("2");
  ServePolicy("enforce", "mx2.example.com");
  world.Pass(1h + kSlack);
  EXPECT_EQ(Fetches(), 2);
  EXPECT_EQ(Memory().policy->id, "2");
  EXPECT_EQ(Memory().policy->policy->mx[0], "mx2.example.com");
}

TEST_F(RecheckTest, ItIsAskedForOnceAtATime) {
  Remember();
  Publish("1").After(30s);
  world.Pass(1h + 20s);
  EXPECT_EQ(TxtQueries(), 2);
}

// --- News reach the answers.

TEST_F(RecheckTest, FromTestingToEnforceWithinTheTtl) {
  ServePolicy("testing");
  Publish("1").Ttl(600);
  EXPECT_EQ(Answer(kDomain), kNotFound);
  Publish("2").Ttl(600);
  ServePolicy("enforce");
  world.Pass(600s + kSlack);
  EXPECT_FALSE(IsKept(kDomain)) << "the old answer is dropped";
  const auto answer = Ask(kDomain);
  ASSERT_TRUE(answer.done());
  EXPECT_EQ(answer.value(), kSecure);
}

TEST_F(RecheckTest, AnswersOfEveryPortAndBracketsAreDropped) {
  const std::vector<std::string> keys = {"example.com", "example.com:587",
                                         "[example.com]", "[example.com]:465"};
  for (const std::string& key : keys) Answer(key);
  Publish("2");
  ServePolicy("testing");
  world.Pass(59min + 50s);
  for (const std::string& key : keys) Answer(key);
  world.Pass(10s + kSlack);
  for (const std::string& key : keys) EXPECT_FALSE(IsKept(key)) << key;
}

TEST_F(RecheckTest, AnUnchangedPolicyLeavesTheAnswers) {
  Publish("1").Ttl(600);
  Remember();
  Publish("2").Ttl(600);
  world.Pass(595s);
  Answer(kDomain);
  // The record had less than that left: the answer is a new one.
  world.Pass(10s);
  Answer(kDomain);
  world.Pass(kSlack);
  EXPECT_EQ(Memory().policy->id, "2");
  EXPECT_TRUE(IsKept(kDomain));
}

// --- Fetched again, whatever the id says.

TEST_F(RefetchTest, AtAPointBetweenOneAndTwoThirdsOfADay) {
  Remember();
  world.Pass(8h - 1s);
  EXPECT_EQ(Fetches(), 1);
  world.Pass(8h + kSlack);
  EXPECT_EQ(Fetches(), 2);
  EXPECT_EQ(Memory().policy->expires_at,
            Memory().policy->fetched_at + Seconds(kWeek));
  EXPECT_GT(Memory().policy->fetched_at, FakeClock::kWallStart);
}

TEST_F(RefetchTest, OrOfAShorterMaxAge) {
  ServePolicy("enforce", "mx.example.com", 3600);
  Remember();
  world.Pass(1199s);
  EXPECT_EQ(Fetches(), 1);
  world.Pass(1201s + kSlack);
  EXPECT_EQ(Fetches(), 2);
}

TEST_F(RefetchTest, AlsoWhereTheTxtLookupFails) {
  Remember();
  dns.Fail(kTxtName, DnsType::kTxt);
  world.Pass(16h + 10min);
  EXPECT_GE(Fetches(), 2);
  EXPECT_GT(Memory().policy->expires_at,
            FakeClock::kWallStart + Seconds(kWeek) + 7h);
  EXPECT_EQ(Memory().policy->id, "1");
}

TEST_F(RefetchTest, ButAProvenAbsenceDoesNotExtendTheLifetime) {
  Remember();
  const std::vector<std::function<void()>> absences = {
      [&] { dns.NoData(kTxtName, DnsType::kTxt); },
      [&] { dns.NxDomain(kTxtName, DnsType::kTxt); },
      [&] { dns.Txt(kTxtName, {"v=spf1 -all"}); },
      [&] {
        dns.Txt(kTxtName, {"v=STSv1; id=1", "v=STSv1; id=2"});
      }};
  for (const auto& absence : absences) {
    absence();
    world.Pass(25h);
    EXPECT_EQ(Fetches(), 1);
    EXPECT_EQ(Memory().policy->expires_at,
              FakeClock::kWallStart + Seconds(kWeek));
  }
}

TEST_F(RefetchTest, ARecordThatReturnsIsFollowedAgain) {
  Remember();
  dns.NoData(kTxtName, DnsType::kTxt);
  world.Pass(25h);
  Publish("1");
  world.Pass(1h + kSlack);
  EXPECT_EQ(Fetches(), 2);
}

TEST_F(RefetchTest, ANewerPolicyForNoTimeEndsTheOlderOne) {
  Remember();
  Publish("2");
  ServePolicy("none", "", 0);
  world.Pass(1h + kSlack);
  EXPECT_FALSE(world.store.Contains(kDomain));
}

TEST_F(RefetchTest, NothingOfItIsAnOutcome) {
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kCertificate);
  world.Pass(24h);
  EXPECT_GT(Fetches(), 5);
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(RefetchTest, TheCountersTellWhatCameOfIt) {
  Remember();
  world.Pass(1h + kSlack);
  EXPECT_EQ(Refreshes("unchanged"), 1);
  Publish("2");
  world.Pass(1h + kSlack);
  EXPECT_EQ(Refreshes("fetched"), 1);
  Publish("3");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Pass(1h + kSlack);
  EXPECT_EQ(Refreshes("failed"), 1);
}

TEST_F(RefetchTest, TheAgendaSurvivesARestart) {
  Remember();
  world.Pass(30min);
  Restart();
  world.Pass(29min);
  EXPECT_EQ(TxtQueries(), 1);
  world.Pass(1min + kSlack);
  EXPECT_EQ(TxtQueries(), 2);
}

TEST_F(RefetchTest, AKillAmidAFetchIsNoReasonToHurry) {
  Remember();
  Publish("2");
  https.Drip(kPolicyHost);
  world.Pass(1h + kSlack);
  EXPECT_EQ(https.in_flight(), 1);
  Restart();
  world.Pass(4min);
  EXPECT_EQ(Fetches(), 2);
  world.Pass(2min);
  EXPECT_EQ(Fetches(), 3);
}

// --- Back-off.

TEST_F(BackOffTest, AfterFailuresOfANewId) {
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Pass(8h);
  const std::vector<Seconds> pauses = Pauses(1);
  const std::vector<Seconds> expected = {5min,  10min, 20min,
                                         40min, 60min, 60min};
  ASSERT_GE(pauses.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_GE(pauses[i], expected[i]) << i;
    EXPECT_LE(pauses[i], expected[i] + kSlack) << i;
  }
}

TEST_F(BackOffTest, AfterFailuresOfARefetchByAge) {
  Remember();
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Pass(24h);
  const std::vector<Seconds> pauses = Pauses(1);
  ASSERT_GE(pauses.size(), 6u);
  EXPECT_GE(pauses[0], 5min);
  EXPECT_GE(pauses[4], 60min);
  for (const Seconds pause : pauses) EXPECT_LE(pause, 60min + kSlack);
}

TEST_F(BackOffTest, AYetNewerIdIsFetchedWhenItIsSeen) {
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Pass(3h);
  Publish("3");
  ServePolicy("enforce", "mx3.example.com");
  world.Pass(1h + kSlack);
  EXPECT_EQ(Memory().policy->policy->mx[0], "mx3.example.com");
}

TEST_F(BackOffTest, ASuccessEndsIt) {
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Pass(3h);
  ServePolicy();
  world.Pass(1h + kSlack);
  EXPECT_EQ(Memory().policy->id, "2");
  EXPECT_FALSE(Memory().failure);
  const int before = Fetches();
  world.Pass(7h);
  EXPECT_EQ(Fetches(), before);
}

// --- Domains that nobody asks about.

constexpr int kTwoMonths = 60 * kDay;

TEST_F(IdleTest, AreLeftAloneAfter30Days) {
  ServePolicy("enforce", "mx.example.com", kTwoMonths);
  Remember();
  world.Pass(30 * 24h);
  const int before = TxtQueries();
  EXPECT_GT(before, 29 * 24);
  world.Pass(20 * 24h);
  EXPECT_EQ(TxtQueries(), before);
}

TEST_F(IdleTest, AndForgottenAWeekAfterTheirPolicyEnded) {
  ServePolicy("enforce", "mx.example.com", kTwoMonths);
  Remember();
  world.Pass(30 * 24h + 1h);
  const WallTime end = Memory().policy->expires_at;
  const int before = TxtQueries();
  world.Pass(end - world.clock.WallNow() - 1s);
  world.Pass(5 * 24h);
  EXPECT_TRUE(Memory().policy);
  world.Pass(2 * 24h);
  EXPECT_FALSE(world.store.Contains(kDomain));
  EXPECT_EQ(TxtQueries(), before);
}

TEST_F(IdleTest, AQuestionADayKeepsThemInUse) {
  Remember();
  for (int day = 0; day < 40; ++day) {
    world.Pass(24h);
    Answer(kDomain);
  }
  const int before = TxtQueries();
  world.Pass(24h);
  EXPECT_GE(TxtQueries(), before + 23);
}

TEST_F(IdleTest, AQuestionWakesThem) {
  ServePolicy("enforce", "mx.example.com", kTwoMonths);
  Remember();
  world.Pass(40 * 24h);
  EXPECT_EQ(Answer(kDomain), kSecure);
  const int before = TxtQueries();
  world.Pass(3h + kSlack);
  EXPECT_EQ(TxtQueries(), before + 3);
}

TEST_F(IdleTest, ExpiredPoliciesAreForgottenAfterAWeek) {
  ServePolicy("enforce", "mx.example.com", kDay);
  Remember();
  dns.NoData(kTxtName, DnsType::kTxt);
  world.Pass(6 * 24h);
  EXPECT_TRUE(world.store.Contains(kDomain));
  world.Pass(2 * 24h);
  EXPECT_FALSE(world.store.Contains(kDomain));
}

TEST_F(IdleTest, AFailureIsForgottenAfterItsDay) {
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  Answer(kDomain);
  ASSERT_TRUE(Memory().failure);
  world.Pass(24h - 1s);
  EXPECT_TRUE(Memory().failure);
  world.Pass(kSlack);
  EXPECT_FALSE(world.store.Contains(kDomain));
}

TEST_F(IdleTest, AFailureOutlivesThePolicyThatEnds) {
  ServePolicy("enforce", "mx.example.com", kDay);
  Remember();
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Pass(24h + kSlack);
  // Nobody waits for a fetch that failed a while ago.
  const auto answer = Ask(kDomain);
  ASSERT_TRUE(answer.done());
  EXPECT_EQ(answer.value(), kNotFound);
}

// --- A policy in use never lapses.

TEST_F(NeverLapseTest, AOneDayPolicyWithAQuestionADay) {
  ServePolicy("enforce", "mx.example.com", kDay);
  Remember();
  for (int day = 1; day <= 10; ++day) {
    world.Pass(24h);
    const auto answer = Ask(kDomain);
    ASSERT_TRUE(answer.done()) << day;
    EXPECT_EQ(answer.value(), kSecure) << day;
  }
}

TEST_F(NeverLapseTest, AlsoWithAPolicyHostThatFailsHalfOfTheTime) {
  ServePolicy("enforce", "mx.example.com", kDay);
  Remember();
  for (int half_hour = 1; half_hour <= 10 * 48; ++half_hour) {
    if (half_hour % 2 == 0)
      ServePolicy("enforce", "mx.example.com", kDay);
    else
      https.Drip(kPolicyHost);
    world.Pass(30min);
    ASSERT_GT(Memory().policy->expires_at, world.clock.WallNow()) << half_hour;
    if (half_hour % 48 == 0) {
      EXPECT_EQ(Answer(kDomain), kSecure) << half_hour;
    }
  }
}

TEST_F(NeverLapseTest, AlsoWhereTheTxtLookupFailsAllTheTime) {
  ServePolicy("enforce", "mx.example.com", kDay);
  Remember();
  dns.Fail(kTxtName, DnsType::kTxt, "timeout").After(5s);
  for (int day = 1; day <= 10; ++day) {
    world.Pass(24h);
    EXPECT_EQ(Answer(kDomain), kSecure) << day;
  }
}

TEST_F(NeverLapseTest, AlsoWithARestartADay) {
  ServePolicy("enforce", "mx.example.com", kDay);
  Remember();
  for (int day = 1; day <= 10; ++day) {
    world.Pass(24h);
    Restart();
    EXPECT_EQ(Answer(kDomain), kSecure) << day;
  }
}

// --- No answer waits for a refresh.

TEST_F(RefreshLimitTest, AnAnswerDoesNotWaitForItsOwnRefresh) {
  Remember();
  Publish("2");
  https.Drip(kPolicyHost);
  world.Pass(1h + kSlack);
  EXPECT_EQ(https.in_flight(), 1);
  const auto answer = Ask(kDomain);
  ASSERT_TRUE(answer.done());
  EXPECT_EQ(answer.value(), kSecure);
}

// Domains due for a refetch, all with policy hosts that drip for ever.
class HangingHostsTest : public RefresherTest {
 protected:
  void Hang(int count, const std::function<std::string(int)>& address) {
    for (int i = 0; i < count; ++i) {
      MakeDue(Name(i), "2");
      dns.A("mta-sts." + Name(i), address(i));
      https.Drip("mta-sts." + Name(i));
    }
  }
};

TEST_F(HangingHostsTest, TakeTheirShareOfAllFetches) {
  sts_settings.max_fetches = 40;
  Restart();
  Hang(100, Address);
  world.Pass(10s);
  EXPECT_EQ(https.in_flight(), 10);
  world.Pass(1h);
  EXPECT_EQ(https.most_in_flight(), 10);
}

TEST_F(HangingHostsTest, TakeTheirShareOfAnAddress) {
  Hang(100, [](int) { return "8.8.4.4"; });
  world.Pass(10s);
  EXPECT_EQ(https.in_flight(), 4);
  world.Pass(1h);
  EXPECT_EQ(https.most_at_one_address(), 4);
}

TEST_F(HangingHostsTest, LeaveAQuestionItsPlace) {
  sts_settings.max_fetches = 8;
  Restart();
  Hang(100, [](int) { return "8.8.8.8"; });
  world.Pass(10s);
  const auto answer = Ask(kDomain);  // its policy host has the same address
  ASSERT_TRUE(answer.done());
  EXPECT_EQ(answer.value(), kSecure);
}

TEST_F(HangingHostsTest, AtOneAddressDoNotHinderOtherDomains) {
  Remember();
  Hang(500, [](int) { return "8.8.4.4"; });
  MakeDue(kDomain, "2");
  Publish("2");
  world.Pass(10s);
  EXPECT_EQ(Memory().policy->id, "2");
}

TEST_F(HangingHostsTest, EverywhereOnlyDelayOtherDomains) {
  Remember();
  Hang(1000, Address);  // four times the share
  world.Pass(10s);
  MakeDue(kDomain, "2");
  Publish("2");
  world.Pass(30min);
  EXPECT_EQ(Memory().policy->id, "2");
}

TEST_F(HangingHostsTest, WhoDidNotGetATurnHasNotFailed) {
  sts_settings.max_fetches = 4;
  Restart();
  Hang(10, Address);
  world.Pass(50s);
  MakeDue(kDomain, "2");
  Publish("2");
  world.Pass(2min);
  EXPECT_FALSE(Memory().failure);
}

// --- Thousands at once.

TEST_F(RefreshLimitTest, AtMost300DomainsASecond) {
  for (int i = 0; i < 3000; ++i) MakeDue(Name(i));
  Remember();  // wakes the agenda
  int before = dns.queries_of_type(DnsType::kTxt);
  for (int second = 0; second < 8; ++second) {
    world.Pass(1s);
    const int now = dns.queries_of_type(DnsType::kTxt);
    EXPECT_LE(now - before, 300) << second;
    before = now;
  }
  world.Pass(4s);
  EXPECT_GE(dns.queries_of_type(DnsType::kTxt), 3000);
}

TEST_F(RefreshLimitTest, AtMost512QuestionsInFlight) {
  for (int i = 0; i < 1000; ++i) {
    MakeDue(Name(i));
    dns.Txt("_mta-sts." + Name(i), {"v=STSv1; id=1"}).After(5s);
  }
  world.Pass(1h);
  EXPECT_EQ(dns.most_in_flight(), 512);
  EXPECT_GE(dns.queries_of_type(DnsType::kTxt), 1000);
}

TEST_F(RefreshLimitTest, RecordsThatHangDelayTheOthersByALittle) {
  for (int i = 0; i < 1000; ++i) {
    MakeDue(Name(i));
    dns.Fail("_mta-sts." + Name(i), DnsType::kTxt, "timeout").After(5s);
  }
  Remember();
  MakeDue(kDomain, "2");
  Publish("2");
  world.Pass(3min);
  EXPECT_EQ(Memory().policy->id, "2");
}

}  // namespace
}  // namespace postern
