// Whose word on DNSSEC counts, and what a person is told.
#include "common/dnssec_judge.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(AdTrustTest, OnlyWhatIsOnThisMachineAndNoForwarder) {
  struct Case {
    const char* server;
    TrustAd configured;
    AdTrust expected;
  };
  const Case cases[] = {
      {"127.0.0.1", TrustAd::kAuto, AdTrust::kTrusted},
      {"127.0.0.53", TrustAd::kAuto, AdTrust::kTrusted},
      {"::1", TrustAd::kAuto, AdTrust::kTrusted},
      {"127.0.0.11", TrustAd::kAuto, AdTrust::kForwarder},
      {"192.0.2.54", TrustAd::kAuto, AdTrust::kElsewhere},
      {"10.0.0.2", TrustAd::kAuto, AdTrust::kElsewhere},
      {"169.254.169.254", TrustAd::kAuto, AdTrust::kElsewhere},
      {"2001:db8::54", TrustAd::kAuto, AdTrust::kElsewhere},
      {"127.0.0.11", TrustAd::kYes, AdTrust::kTrusted},
      {"192.0.2.54", TrustAd::kYes, AdTrust::kTrusted},
      {"127.0.0.1", TrustAd::kNo, AdTrust::kForbidden},
  };
  for (const Case& one : cases)
    EXPECT_EQ(JudgeAdTrust(*IpAddress::Parse(one.server), one.configured),
              one.expected)
        << one.server;
}

TEST(DnsServerTroubleTest, SaysWhatIsWrongAndWhatItMeans) {
  using Validation = DnsServerFacts::Validation;
  struct Case {
    DnsServerFacts facts;
    DnssecState state;
    std::vector<const char*> words;  // none: nothing is wrong
  };
  const Case cases[] = {
      {{.validation = Validation::kYes}, DnssecState::kOn, {}},
      {{}, DnssecState::kOn, {}},
      {{.answers = false, .silence = "no answer"},
       DnssecState::kOn,
       {"does not answer (no answer)", "deferred"}},
      {{.validation = Validation::kNo},
       DnssecState::kOff,
       {"does not validate", "DANE is off", "unencrypted", "unbound"}},
      {{.validation = Validation::kNo},
       DnssecState::kDoubted,
       {"does not validate", "DANE is in doubt"}},
      {{.trust = AdTrust::kElsewhere},
       DnssecState::kOff,
       {"not trusted", "another machine", "DANE is off", "dns.trust_ad = yes",
        "options trust-ad"}},
      {{.trust = AdTrust::kForwarder},
       DnssecState::kOff,
       {"not trusted", "Docker", "DANE is off"}},
      {{.trust = AdTrust::kForbidden},
       DnssecState::kOff,
       {"not trusted", "dns.trust_ad is no"}},
      {{.trust = AdTrust::kElsewhere},
       DnssecState::kOn,
       {"not trusted", "not asked", "mail waits"}},
  };
  for (const Case& one : cases) {
    const std::string trouble = DnsServerTrouble(one.facts, one.state);
    EXPECT_EQ(trouble.empty(), one.words.empty()) << trouble;
    for (const char* words : one.words)
      EXPECT_NE(trouble.find(words), std::string::npos)
          << words << " in: " << trouble;
  }
}

TEST(DnssecJudgeTest, Rounds) {
  using Round = DnssecJudge::Round;
  struct Case {
    const char* rounds;  // y: validates, n: does not, -: shows nothing
    DnssecState expected;
  };
  const Case cases[] = {
      {"", DnssecState::kOn},           {"-", DnssecState::kOn},
      {"n", DnssecState::kOff},         {"-n", DnssecState::kOff},
      {"y", DnssecState::kOn},          {"yn", DnssecState::kDoubted},
      {"ynnn", DnssecState::kDoubted},  {"ynnnn", DnssecState::kOff},
      {"ynn-nn", DnssecState::kOff},    {"ynnnyn", DnssecState::kDoubted},
      {"yn---", DnssecState::kDoubted}, {"y-----", DnssecState::kOn},
      {"ynnnny", DnssecState::kOn},     {"ny", DnssecState::kOn},
      {"nyn", DnssecState::kDoubted},   {"ynnnn-", DnssecState::kOff},
  };
  for (const Case& one : cases) {
    DnssecJudge judge;
    SteadyTime now{};
    for (const char* round = one.rounds; *round != '\0'; ++round) {
      now += DnssecJudge::kAgainAfter;
      judge.Note(*round == 'y'   ? Round::kValidates
                 : *round == 'n' ? Round::kDoesNot
                                 : Round::kShowsNothing,
                 now);
    }
    EXPECT_EQ(judge.state(), one.expected) << one.rounds;
  }
}

}  // namespace
}  // namespace postern
