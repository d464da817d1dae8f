// What the administrator can do to the service, and what he sees of it:
// overrides, reloads, purges, warm-ups, outcomes, metrics.
#include <functional>

#include "policy-daemon/policy_service.h"
#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class PolicyServiceAdminTest : public EngineTest {
 protected:
  // A reload with these lines in policy.overrides.
  void Reload(const std::string& lines) {
    auto overrides = Overrides::Parse(lines, "test", service().services());
    ASSERT_TRUE(overrides) << overrides.error().message;
    service().Use(settings, std::move(*overrides));
  }
  // An ordinary domain on signed zones, with DANE.
  void OtherDomain() {
    dns.Mx("other.example", {"mx.other.example"});
    dns.DaneHost("mx.other.example");
  }
  bool WarmUp(const std::string& key) {
    const bool started = service().WarmUp(key);
    world.clock.RunReady();
    return started;
  }
  double Answers(const char* reply) {
    return Count("postern_answers_total", {{"reply", reply}});
  }
  double Temps(const char* reason) {
    return Count("postern_temp_total", {{"reason", reason}});
  }
};

using OverrideAnswerTest = PolicyServiceAdminTest;
using ReloadTest = PolicyServiceAdminTest;
using ServiceWarmUpTest = PolicyServiceAdminTest;
using DropTest = PolicyServiceAdminTest;
using OutcomeTest = PolicyServiceAdminTest;
using ServiceMetricsTest = PolicyServiceAdminTest;

// --- Overrides.

TEST_F(OverrideAnswerTest, ALevelIsAnsweredAtOnceWithoutALookup) {
  StsDomain();
  Reload("example.com encrypt\n");
  const auto answer = Ask(kDomain);
  ASSERT_TRUE(answer.done());
  EXPECT_EQ(answer.value(), "OK encrypt");
  EXPECT_EQ(Answer(kDomain, Dialect::kTlsrpt), "OK encrypt");
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(OverrideAnswerTest, HasThePolicyOfItsLevel) {
  using Demand = AnsweredPolicy::Demand;
  struct Case {
    const char* words;
    Demand demand;
    PolicyType type;
  };
  settings.reply.with_policy = true;
  constexpr PolicyType kNone = PolicyType::kNoPolicyFound;
  for (const auto& [words, demand, type] :
       {Case{"off", Demand::kNothing, kNone},
        Case{"plaintext", Demand::kNothing, kNone},
        Case{"encrypt", Demand::kNothing, kNone},
        Case{"dane", Demand::kDane, kNone},
        Case{"dane-only", Demand::kAuthentication, PolicyType::kTlsa},
        Case{"verify", Demand::kAuthentication, kNone},
        Case{"secure match=nexthop", Demand::kAuthentication, kNone}}) {
    Reload(std::string("example.com ") + words + "\n");
    const auto known = service().AnswerNow("example.com:587", Dialect::kPolicy);
    ASSERT_TRUE(known.policy) << words;
    EXPECT_EQ(known.policy->demand, demand) << words;
    EXPECT_EQ(known.policy->policy_type, type) << words;
    EXPECT_EQ(known.policy->domain, "example.com") << words;
  }
}

TEST_F(OverrideAnswerTest, OffIsNotFoundWithoutALookup) {
  DaneDomain();
  Reload("example.com off\n");
  EXPECT_EQ(Answer(kDomain), kNotFound);
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(OverrideAnswerTest, OtherSpellingsOfTheNameMeanTheSame) {
  Reload("example.com encrypt\n");
  for (const char* key : {"EXAMPLE.com", "example.com.", "Example.Com:25"})
    EXPECT_EQ(Answer(key), "OK encrypt") << key;
}

TEST_F(OverrideAnswerTest, AParentSpeaksForWhatIsBelow) {
  Reload(".example.com encrypt\n");
  EXPECT_EQ(Answer("sub.example.com"), "OK encrypt");
  EXPECT_EQ(Answer("a.b.example.com:587"), "OK encrypt");
  DaneDomain();
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
}

TEST_F(OverrideAnswerTest, AParentKeyIsStillNotFound) {
  // Postfix asks for ".example.com" only after the full key was not found.
  Reload(".example.com encrypt\n");
  EXPECT_EQ(Answer(".example.com"), kNotFound);
}

TEST_F(OverrideAnswerTest, AKeyInBracketsIsItself) {
  Reload("[mx.example.com]:587 encrypt\n");
  EXPECT_EQ(Answer("[mx.example.com]:587"), "OK encrypt");
  EXPECT_EQ(Answer("mx.example.com"), kNotFound);
}

TEST_F(OverrideAnswerTest, StsOffLooksUpWithoutMtaSts) {
  StsDomain();
  Reload("example.com sts-off\n");
  EXPECT_EQ(Answer(kDomain), kNotFound);
  EXPECT_EQ(dns.queries(kTxtName, DnsType::kTxt), 0);
  DaneDomain();
  world.Pass(2h);
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
}

TEST_F(OverrideAnswerTest, DaneOffLooksUpWithoutDane) {
  StsDomain();
  DaneDomain();
  Reload("example.com dane-off\n");
  EXPECT_EQ(Answer(kDomain), kSecure);
  EXPECT_EQ(dns.queries_of_type(DnsType::kMx), 0);
  EXPECT_EQ(dns.queries_of_type(DnsType::kTlsa), 0);
}

TEST_F(OverrideAnswerTest, BothOffAsksForNothing) {
  StsDomain();
  DaneDomain();
  Reload("example.com sts-off dane-off\n");
  EXPECT_EQ(Answer(kDomain), kNotFound);
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(OverrideAnswerTest, StsOffUnderDaneThatFailsIsStillTempOrDane) {
  DaneDomain();
  dns.Fail(kDomain, DnsType::kMx);
  Reload("example.com sts-off\n");
  EXPECT_TRUE(Answer(kDomain).starts_with("TEMP "));
}

TEST_F(OverrideAnswerTest, WhatIsOffIsKeptInMemoryApart) {
  StsDomain();
  EXPECT_EQ(Answer(kDomain), kSecure);
  Reload("example.com sts-off\n");
  EXPECT_EQ(Answer(kDomain), kNotFound);
  EXPECT_TRUE(IsKept(kDomain));
  Reload("");
  EXPECT_EQ(Answer(kDomain), kSecure);
}

// --- Reloads.

TEST_F(ReloadTest, ANewOverrideIsAnsweredAtOnceTheOthersStayInMemory) {
  DaneDomain();
  OtherDomain();
  Answer(kDomain);
  Answer("other.example");
  Reload("example.com encrypt\n");
  EXPECT_EQ(Ask(kDomain).value(), "OK encrypt");
  EXPECT_TRUE(IsKept("other.example"));
}

TEST_F(ReloadTest, AnOverrideThatIsGoneUncoversWhatIsInMemory) {
  DaneDomain();
  Answer(kDomain);
  Reload("example.com encrypt\n");
  Reload("");
  const auto answer = Ask(kDomain);
  ASSERT_TRUE(answer.done());
  EXPECT_EQ(answer.value(), kDaneOnly);
}

TEST_F(ReloadTest, WithTheSameSettingsAllStaysInMemory) {
  DaneDomain();
  Answer(kDomain);
  settings.answer_timeout = 5s;
  settings.max_lookups = 7;
  Reload("");
  EXPECT_TRUE(IsKept(kDomain));
}

TEST_F(ReloadTest, SettingsThatChangeAnswersEmptyTheMemory) {
  const std::vector<std::function<void(PolicyService::Settings&)>> changes = {
      [](auto& to) { to.dane_enabled = false; },
      [](auto& to) { to.mixed_reply_dane_only = true; },
      [](auto& to) { to.reply.testing_reply_may = true; },
      [](auto& to) { to.reply.site_level = SiteLevel::kEncrypt; }};
  DaneDomain();
  for (const auto& change : changes) {
    Answer(kDomain);
    ASSERT_TRUE(IsKept(kDomain));
    change(settings);
    Reload("");
    EXPECT_FALSE(IsKept(kDomain));
  }
}

TEST_F(ReloadTest, TheNewSettingsCount) {
  StsDomain();
  DaneDomain();
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
  settings.dane_enabled = false;
  Reload("");
  EXPECT_EQ(Answer(kDomain), kSecure);
  settings.dane_enabled = true;
  Reload("");
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
}

TEST_F(ReloadTest, TheNewTimeoutCountsForTheNextQuestion) {
  dns.NoData(kDomain, DnsType::kMx).Never();
  const auto before = Ask(kDomain);
  settings.answer_timeout = 3s;
  Reload("");
  const auto after = Ask(kDomain);
  world.Pass(3s);
  EXPECT_TRUE(after.done());
  EXPECT_FALSE(before.done());
  world.Pass(5s);
  EXPECT_TRUE(before.done());
}

TEST_F(ReloadTest, TheNewLimitOfLookupsCounts) {
  dns.NoData("a.example", DnsType::kMx).Never();
  Ask("a.example");
  settings.max_lookups = 1;
  Reload("");
  EXPECT_TRUE(Answer("b.example").starts_with("TEMP too many lookups"));
}

TEST_F(ReloadTest, ASmallerMemoryEvicts) {
  DaneDomain();
  OtherDomain();
  Answer(kDomain);
  Answer("other.example");
  settings.max_entries = 1;
  Reload("");
  EXPECT_EQ(IsKept(kDomain) + IsKept("other.example"), 1);
}

TEST_F(ReloadTest, APolicyStaysRemembered) {
  StsDomain();
  Answer(kDomain);
  settings.reply.testing_reply_may = true;
  Reload("");
  EXPECT_EQ(Answer(kDomain), kSecure);
  EXPECT_EQ(https.fetches(), 1);
}

// --- Warm-ups.

TEST_F(ServiceWarmUpTest, AQuestionAfterwardsNeedsNoLookup) {
  DaneDomain();
  EXPECT_TRUE(WarmUp(kDomain));
  EXPECT_TRUE(IsKept(kDomain));
  EXPECT_EQ(Answer(kDomain), kDaneOnly);
  EXPECT_EQ(dns.queries(kDomain, DnsType::kMx), 1);
}

TEST_F(ServiceWarmUpTest, AQuestionMeanwhileJoinsIt) {
  DaneDomain();
  dns.Mx(kDomain, {"mx.example.com"}).After(3s);
  WarmUp(kDomain);
  world.Pass(2s);
  const auto answer = Ask(kDomain);
  EXPECT_FALSE(answer.done());
  world.Pass(1s);
  EXPECT_EQ(answer.value(), kDaneOnly);
  EXPECT_EQ(dns.queries(kDomain, DnsType::kMx), 1);
}

TEST_F(ServiceWarmUpTest, IsNotStartedForWhatIsKnown) {
  DaneDomain();
  Answer(kDomain);
  EXPECT_FALSE(WarmUp(kDomain));
  EXPECT_FALSE(WarmUp("EXAMPLE.com:25"));
}

TEST_F(ServiceWarmUpTest, IsNotStartedTwice) {
  dns.Mx(kDomain, {"mx.example.com"}).After(3s);
  EXPECT_TRUE(WarmUp(kDomain));
  EXPECT_FALSE(WarmUp(kDomain));
}

TEST_F(ServiceWarmUpTest, IsNotStartedForWhatIsNoKeyOrOverridden) {
  Reload("example.com encrypt\nexample.org off\n");
  for (const char* key :
       {"", ".example.net", "[192.0.2.1]", "a b", "example.com", "example.org"})
    EXPECT_FALSE(WarmUp(key)) << key;
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(ServiceWarmUpTest, RespectsWhatIsOff) {
  StsDomain();
  Reload("example.com sts-off\n");
  EXPECT_TRUE(WarmUp(kDomain));
  EXPECT_TRUE(IsKept(kDomain));
  EXPECT_EQ(dns.queries(kTxtName, DnsType::kTxt), 0);
}

TEST_F(ServiceWarmUpTest, IsRefusedWhereThereIsNoRoom) {
  settings.max_lookups = 1;
  Reload("");
  dns.NoData("a.example", DnsType::kMx).Never();
  Ask("a.example");
  EXPECT_FALSE(WarmUp("b.example"));
  EXPECT_EQ(dns.queries("b.example", DnsType::kMx), 0);
}

TEST_F(ServiceWarmUpTest, LeavesHalfOfTheRoomToQuestions) {
  settings.max_lookups = 4;
  Reload("");
  for (const char* name :
       {"a.example", "b.example", "c.example", "d.example", "e.example"})
    dns.NoData(name, DnsType::kMx).Never();
  EXPECT_TRUE(WarmUp("a.example"));
  EXPECT_TRUE(WarmUp("b.example"));
  EXPECT_FALSE(WarmUp("c.example"));
  EXPECT_FALSE(Ask("c.example").done());
  EXPECT_FALSE(Ask("d.example").done());
  EXPECT_TRUE(Ask("e.example").done()) << "TEMP: that were four";
}

TEST_F(ServiceWarmUpTest, IsNoAnswerAndNoSession) {
  StsDomain();
  https.Fail(kPolicyHost, HttpsFailure::kCertificate);
  WarmUp(kDomain);
  EXPECT_TRUE(world.outcomes.all.empty());
  for (const char* reply : {"secure", "dane-only", "dane", "notfound", "temp"})
    EXPECT_EQ(Answers(reply), 0) << reply;
}

TEST_F(ServiceWarmUpTest, AQuestionThatJoinsMakesItASession) {
  StsDomain();
  https.Fail(kPolicyHost, HttpsFailure::kCertificate).After(3s);
  WarmUp(kDomain);
  const auto answer = Ask(kDomain);
  world.Pass(3s);
  EXPECT_EQ(world.outcomes.all.size(), 1u);
}

// --- Purges.

TEST_F(DropTest, EveryAnswerOfTheDomainIsLookedUpAgain) {
  DaneDomain();
  OtherDomain();
  const std::vector<std::string> keys = {"example.com", "example.com:587",
                                         "[example.com]", "[example.com]:465"};
  for (const std::string& key : keys) Answer(key);
  Answer("other.example");
  service().Drop(kDomain);
  for (const std::string& key : keys) EXPECT_FALSE(IsKept(key)) << key;
  EXPECT_TRUE(IsKept("other.example"));
}

TEST_F(DropTest, AlsoThoseWithoutDane) {
  StsDomain();
  Reload("example.com dane-off\n");
  Answer(kDomain);
  service().Drop(kDomain);
  EXPECT_FALSE(IsKept(kDomain));
}

TEST_F(DropTest, NothingMeansAll) {
  DaneDomain();
  OtherDomain();
  Answer(kDomain);
  Answer("other.example");
  service().Drop("");
  EXPECT_FALSE(IsKept(kDomain));
  EXPECT_FALSE(IsKept("other.example"));
}

TEST_F(DropTest, APurgedPolicyIsFetchedAnew) {
  StsDomain();
  Answer(kDomain);
  world.store.Forget(kDomain);
  service().Drop(kDomain);
  EXPECT_EQ(Answer(kDomain), kSecure);
  EXPECT_EQ(https.fetches(), 2);
}

// --- Outcomes: what the owner of the domain is told.

TEST_F(OutcomeTest, EachFailureIsToldByItsName) {
  const std::vector<std::pair<std::function<void()>, ResultType>> failures = {
      {[&] { https.Fail(kPolicyHost, HttpsFailure::kProtocol); },
       ResultType::kStsPolicyFetchError},
      {[&] { https.Fail(kPolicyHost, HttpsFailure::kCertificate); },
       ResultType::kStsWebpkiInvalid},
      {[&] { Serve("no policy"); }, ResultType::kStsPolicyInvalid}};
  StsDomain();
  for (const auto& [fail, type] : failures) {
    world.outcomes.all.clear();
    world.store.Clear();
    service().Drop("");
    fail();
    EXPECT_EQ(Answer(kDomain), kNotFound);
    ASSERT_EQ(world.outcomes.all.size(), 1u);
    const Outcome& outcome = world.outcomes.all[0].outcome;
    EXPECT_EQ(outcome.domain, kDomain);
    EXPECT_EQ(outcome.policy_type, PolicyType::kSts);
    EXPECT_EQ(outcome.policy_domain, kDomain);
    EXPECT_EQ(outcome.failed, 0u) << "mail went on";
    ASSERT_EQ(outcome.failure_details.size(), 1u);
    EXPECT_EQ(outcome.failure_details[0].result_type, type);
    EXPECT_EQ(outcome.failure_details[0].failed_session_count, 0u);
    EXPECT_FALSE(outcome.failure_details[0].failure_reason_code.empty());
  }
}

TEST_F(OutcomeTest, AFailureThatHeldMailIsAFailedSession) {
  StsDomain();
  https.Drip(kPolicyHost);
  Ask(kDomain);
  world.Pass(60s);
  ASSERT_EQ(world.outcomes.all.size(), 1u);
  EXPECT_EQ(world.outcomes.all[0].outcome.failed, 1u);
}

TEST_F(OutcomeTest, ManyQuestionsOfOneLookupAreToldOnce) {
  StsDomain();
  https.Fail(kPolicyHost, HttpsFailure::kProtocol).After(3s);
  for (int i = 0; i < 10; ++i) Ask(kDomain);
  world.Pass(3s);
  EXPECT_EQ(world.outcomes.all.size(), 1u);
}

// With a milter every question comes after its warm-up.
TEST_F(OutcomeTest, WhatAWarmUpHasFoundIsToldOnceSomebodyAsks) {
  StsDomain();
  https.Fail(kPolicyHost, HttpsFailure::kProtocol);
  EXPECT_TRUE(WarmUp(kDomain));
  EXPECT_TRUE(world.outcomes.all.empty());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Answer(kDomain), kNotFound);
  ASSERT_EQ(world.outcomes.all.size(), 1u);
  EXPECT_EQ(world.outcomes.all[0].outcome.failed, 0u);
}

TEST_F(OutcomeTest, WhatAWarmUpHasFoundIsNotToldOnceItIsOver) {
  StsDomain();
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  EXPECT_TRUE(WarmUp(kDomain));
  service().Drop("");
  world.store.Clear();
  StsDomain();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Answer(kDomain), kSecure);
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(OutcomeTest, SuccessesAndAbsencesAreNotTold) {
  StsDomain();
  Answer(kDomain);
  OtherDomain();
  Answer("other.example");
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(OutcomeTest, ARememberedPolicyIsNoFailure) {
  StsDomain();
  Answer(kDomain);
  world.Pass(2h);
  Publish("2");
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  EXPECT_EQ(Answer(kDomain), kSecure);
  world.Pass(1min);
  EXPECT_TRUE(world.outcomes.all.empty());
}

TEST_F(OutcomeTest, AFetchWithoutATurnIsNotTheOwnersFault) {
  sts_settings.max_fetches = 1;
  Restart();
  StsDomain();
  // Each keeps the place for ten seconds.
  for (int i = 1; i <= 8; ++i) {
    const std::string domain = StsDomainAt(i, "8.8.4.4");
    https.Drip("mta-sts." + domain);
    Ask(domain);
  }
  Ask(kDomain);
  world.Pass(3min);
  EXPECT_EQ(https.fetches(kPolicyHost), 0);
  for (const Finding& finding : world.outcomes.all)
    EXPECT_NE(finding.outcome.domain, kDomain);
}

TEST_F(OutcomeTest, WhoOnlyWantsToKnowIsNoSession) {
  StsDomain();
  https.Fail(kPolicyHost, HttpsFailure::kConnect);
  world.Run(service().Explain({.domain = kDomain}));
  EXPECT_TRUE(world.outcomes.all.empty());
}

// --- Metrics.

TEST_F(ServiceMetricsTest, AnswersAreCountedByKind) {
  StsDomain();
  Answer(kDomain);
  OtherDomain();
  Answer("other.example");
  Answer("other.example:587");
  Answer("none.example");
  Answer(".parent");
  Reload("example.net encrypt\nexample.org off\n");
  Answer("example.net");
  Answer("example.org");
  EXPECT_EQ(Answers("secure"), 1);
  EXPECT_EQ(Answers("dane-only"), 1);
  EXPECT_EQ(Answers("notfound"), 4);
  EXPECT_EQ(Answers("override"), 1);
  EXPECT_EQ(Answers("temp"), 0);
}

TEST_F(ServiceMetricsTest, AnswersFromMemoryAreCountedAsSuch) {
  DaneDomain();
  for (int i = 0; i < 5; ++i) Answer(kDomain);
  EXPECT_EQ(Answers("dane-only"), 5);
  EXPECT_EQ(Count("postern_answers_from_memory_total"), 4);
}

TEST_F(ServiceMetricsTest, TempForAFailedMxLookup) {
  dns.Fail(kDomain, DnsType::kMx);
  Answer(kDomain);
  EXPECT_EQ(Temps("mx-lookup"), 1);
  EXPECT_EQ(Answers("temp"), 1);
}

TEST_F(ServiceMetricsTest, TempForAnMxLookupThatIsLate) {
  dns.NoData(kDomain, DnsType::kMx).Never();
  Ask(kDomain);
  world.Pass(8s);
  EXPECT_EQ(Temps("mx-lookup"), 1);
}

TEST_F(ServiceMetricsTest, TempForUnknownDaneUnderEnforce) {
  StsDomain();
  DaneDomain();
  dns.Fail("_25._tcp.mx.example.com", DnsType::kTlsa);
  Answer(kDomain);
  EXPECT_EQ(Temps("dane-unknown"), 1);
}

TEST_F(ServiceMetricsTest, TempForASlowPolicyFile) {
  StsDomain();
  https.Drip(kPolicyHost);
  Ask(kDomain);
  world.Pass(8s);
  EXPECT_EQ(Temps("slow-policy-file"), 1);
}

TEST_F(ServiceMetricsTest, TempForTooManyLookups) {
  settings.max_lookups = 1;
  Restart();
  dns.NoData("a.example", DnsType::kMx).Never();
  Ask("a.example");
  Answer("b.example");
  EXPECT_EQ(Temps("too-many-lookups"), 1);
}

TEST_F(ServiceMetricsTest, TempFromMemoryKeepsItsReason) {
  dns.Fail(kDomain, DnsType::kMx);
  Answer(kDomain);
  ASSERT_TRUE(Ask(kDomain).done());
  EXPECT_EQ(Temps("mx-lookup"), 2);
}

TEST_F(ServiceMetricsTest, HostsAreCountedByState) {
  dns.Mx(kDomain, {"a.example", "b.example", "c.example", "d.example"});
  dns.DaneHost("a.example");
  dns.PlainHost("b.example");
  dns.A("c.example", "198.51.100.1");
  dns.Fail("_25._tcp.c.example", DnsType::kTlsa);
  dns.NxDomain("d.example", DnsType::kA);
  dns.NxDomain("d.example", DnsType::kAaaa);
  Answer(kDomain);
  for (const char* state : {"usable", "none", "unknown", "no-address"})
    EXPECT_EQ(Count("postern_dane_hosts_total", {{"state", state}}), 1)
        << state;
}

TEST_F(ServiceMetricsTest, MtaStsIsCountedByWhatIsInForce) {
  const auto results = [&](const char* result) {
    return Count("postern_sts_results_total", {{"result", result}});
  };
  StsDomain();
  Answer(kDomain);
  EXPECT_EQ(results("enforce"), 1);
  Answer("none.example");
  EXPECT_EQ(results("absent"), 1);
  dns.Fail("_mta-sts.failed.example", DnsType::kTxt);
  Answer("failed.example");
  EXPECT_EQ(results("record-failed"), 1);
  dns.Txt("_mta-sts.bad.example", {"v=STSv1;"});
  Answer("bad.example");
  EXPECT_EQ(results("record-invalid"), 1);
  Answer(StsDomainAt(1, "8.8.4.4"));
  EXPECT_EQ(results("fetch-failed"), 1);
}

TEST_F(ServiceMetricsTest, WhatIsOffIsNotCounted) {
  StsDomain();
  DaneDomain();
  Reload("example.com sts-off dane-off\n");
  Answer(kDomain);
  EXPECT_EQ(Count("postern_sts_results_total", {{"result", "absent"}}), 0);
  EXPECT_EQ(Count("postern_dane_hosts_total", {{"state", "none"}}), 0);
}

}  // namespace
}  // namespace postern
