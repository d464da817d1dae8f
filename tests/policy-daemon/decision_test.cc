// docs/decision-table.md, written a second time as data, and compared with
// the code for everything that can happen.
#include "policy-daemon/decision.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

namespace postern {
namespace {

using States = std::set<HostState>;

constexpr HostState kUsable = HostState::kUsable;
constexpr HostState kUnusable = HostState::kUnusable;
constexpr HostState kNone = HostState::kNone;
constexpr HostState kUnknown = HostState::kUnknown;

bool Any(const States&) { return true; }
bool NoHost(const States& hosts) { return hosts.empty(); }
bool AllUsable(const States& hosts) { return hosts == States{kUsable}; }
bool AllNone(const States& hosts) { return hosts == States{kNone}; }
bool AtLeastOne(const States& hosts, const States& of) {
  return std::any_of(of.begin(), of.end(),
                     [&](HostState state) { return hosts.contains(state); });
}
bool UsableAndNoneKnownOtherwise(const States& hosts) {
  return AtLeastOne(hosts, {kUsable}) && !AtLeastOne(hosts, {kUnusable, kNone});
}
bool AllUnknown(const States& hosts) { return hosts == States{kUnknown}; }
bool SomeNotNone(const States& hosts) {
  return AtLeastOne(hosts, {kUsable, kUnusable, kUnknown});
}

// The columns. Both lists empty: any.
struct TableRow {
  std::vector<MxState> mx;
  bool (*hosts)(const States&);
  std::vector<StsState> sts;
  Row row;
  Verdict verdict;
};

const std::vector<MxState> kAnySet = {MxState::kFailed, MxState::kSecure,
                                      MxState::kInsecure};
const std::vector<MxState> kFailedSet = {MxState::kFailed};
const std::vector<MxState> kSecureSet = {MxState::kSecure};
const std::vector<MxState> kInsecureSet = {MxState::kInsecure};
const std::vector<StsState> kAnySts = {StsState::kEnforce, StsState::kOther};
const std::vector<StsState> kEnforce = {StsState::kEnforce};
const std::vector<StsState> kOther = {StsState::kOther};

// First match wins.
const std::vector<TableRow> kTable = {
    {kFailedSet, Any, kAnySts, Row::kMxFailed, Verdict::kTemp},
    {kAnySet, NoHost, kEnforce, Row::kNoHostsEnforce, Verdict::kSecure},
    {kAnySet, NoHost, kOther, Row::kNoHostsOther, Verdict::kNotFound},
    {kSecureSet, AllUsable, kAnySts, Row::kAllUsable, Verdict::kDaneOnly},
    {kSecureSet, UsableAndNoneKnownOtherwise, kEnforce,
     Row::kUsableOrUnknownEnforce, Verdict::kDaneOnly},
    {kSecureSet, AllUnknown, kEnforce, Row::kUnknownEnforce, Verdict::kTemp},
    // mixed_reply=dane-only: see TableVerdict().
    {kSecureSet, SomeNotNone, kEnforce, Row::kMixedEnforce, Verdict::kSecure},
    {kInsecureSet, Any, kEnforce, Row::kInsecureEnforce, Verdict::kSecure},
    // Where `dane` would lower the site's level: see TableVerdict().
    {kSecureSet, UsableAndNoneKnownOtherwise, kOther,
     Row::kUsableOrUnknownOther, Verdict::kDane},
    {kSecureSet, AllUnknown, kOther, Row::kUnknownOther, Verdict::kDane},
    {kAnySet, SomeNotNone, kOther, Row::kSomeTlsaOther, Verdict::kDane},
    {kAnySet, AllNone, kEnforce, Row::kAllNoneEnforce, Verdict::kSecure},
    {kAnySet, AllNone, kOther, Row::kAllNoneOther, Verdict::kNotFound},
};

template <class T>
bool Holds(const std::vector<T>& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

const TableRow* FirstMatch(MxState mx, const States& hosts, StsState sts) {
  for (const TableRow& row : kTable)
    if (Holds(row.mx, mx) && row.hosts(hosts) && Holds(row.sts, sts))
      return &row;
  return nullptr;
}

Verdict TableVerdict(const TableRow& row, const States& hosts,
                     const DecisionSettings& settings) {
  if (row.row == Row::kMixedEnforce && settings.mixed_reply_dane_only) {
    if (hosts.contains(kUsable)) return Verdict::kDaneOnly;
    if (hosts.contains(kUnknown)) return Verdict::kTemp;
  }
  if (row.verdict == Verdict::kDane && !settings.dane_is_enough) {
    if (row.row == Row::kUsableOrUnknownOther) return Verdict::kDaneOnly;
    if (row.row == Row::kUnknownOther) return Verdict::kTemp;
    return Verdict::kNotFound;
  }
  return row.verdict;
}

const std::vector<DecisionSettings> kEverySetting = {
    {false, true}, {true, true}, {false, false}, {true, false}};

HostStates ToHostStates(const States& states) {
  HostStates set;
  for (HostState state : states) set.Add(state);
  return set;
}

std::vector<States> EverySetOfStates() {
  std::vector<States> sets;
  for (unsigned bits = 0; bits < 16; ++bits) {
    States states;
    if (bits & 1) states.insert(kUsable);
    if (bits & 2) states.insert(kUnusable);
    if (bits & 4) states.insert(kNone);
    if (bits & 8) states.insert(kUnknown);
    sets.push_back(states);
  }
  return sets;
}

TEST(Decide, FollowsTheTableForEveryCombination) {
  std::set<Row> met;
  for (MxState mx : kAnySet) {
    for (const States& hosts : EverySetOfStates()) {
      for (StsState sts : kAnySts) {
        const TableRow* row = FirstMatch(mx, hosts, sts);
        ASSERT_NE(row, nullptr) << "a combination without a row";
        met.insert(row->row);
        const HostStates states = ToHostStates(hosts);
        EXPECT_EQ(Decide(mx, states, sts), row->row);
        for (const DecisionSettings& settings : kEverySetting)
          EXPECT_EQ(VerdictOf(row->row, settings, states),
                    TableVerdict(*row, hosts, settings));
      }
    }
  }
  EXPECT_EQ(met.size(), kTable.size()) << "a row that nothing meets";
}

// --- Settle() ---

HostFacts Host(HostState state) {
  HostFacts host;
  host.name = "mx.example.com";
  host.state = state;
  host.ttl = Seconds(600);
  return host;
}

Facts Given(MxState mx, std::initializer_list<HostState> hosts, StsState sts) {
  Facts facts;
  facts.key.domain = "example.com";
  facts.mx.state = mx;
  facts.mx.ttl = Seconds(600);
  for (HostState state : hosts) facts.hosts.push_back(Host(state));
  facts.sts.state = sts;
  return facts;
}

// Every way in which the pending parts of `facts` can end.
std::vector<Verdict> Endings(const Facts& facts,
                             const DecisionSettings& settings) {
  for (size_t i = 0; i < facts.hosts.size(); ++i) {
    if (facts.hosts[i].state != HostState::kPending) continue;
    std::vector<Verdict> all;
    for (HostState state :
         {HostState::kNoAddress, kUsable, kUnusable, kNone, kUnknown}) {
      Facts next = facts;
      next.hosts[i].state = state;
      const auto endings = Endings(next, settings);
      all.insert(all.end(), endings.begin(), endings.end());
    }
    return all;
  }
  std::vector<Verdict> all;
  States hosts;
  if (facts.mx.unexamined > 0) hosts.insert(kUnknown);
  for (const HostFacts& host : facts.hosts)
    if (host.state != HostState::kNoAddress) hosts.insert(host.state);
  for (StsState sts : kAnySts) {
    if (facts.sts.state != StsState::kPending && facts.sts.state != sts)
      continue;
    const TableRow& row = *FirstMatch(facts.mx.state, hosts, sts);
    all.push_back(TableVerdict(row, hosts, settings));
  }
  return all;
}

// Answers as soon as nothing outstanding can change the answer, and not
// before.
void SettlesRightly(const Facts& facts, const DecisionSettings& settings) {
  const auto endings = Endings(facts, settings);
  const bool agree =
      std::all_of(endings.begin(), endings.end(),
                  [&](Verdict other) { return other == endings[0]; });
  const auto decision = Settle(facts, settings);
  ASSERT_EQ(decision.has_value(), agree);
  if (!decision) return;
  EXPECT_EQ(decision->verdict, endings[0]);
}

TEST(Settle, AnswersExactlyWhenEveryEndingAgrees) {
  const std::vector<HostState> states = {HostState::kPending,
                                         HostState::kNoAddress,
                                         kUsable,
                                         kUnusable,
                                         kNone,
                                         kUnknown};
  std::vector<std::vector<HostState>> lists = {{}};
  for (size_t begin = 0, round = 0; round < 3; ++round) {
    const size_t end = lists.size();
    for (; begin < end; ++begin) {
      for (HostState state : states) {
        lists.push_back(lists[begin]);
        lists.back().push_back(state);
      }
    }
  }
  ASSERT_EQ(lists.size(), 1u + 6 + 36 + 216);
  for (const auto& list : lists) {
    for (MxState mx : {MxState::kSecure, MxState::kInsecure}) {
      for (StsState sts :
           {StsState::kPending, StsState::kEnforce, StsState::kOther}) {
        for (size_t unexamined : {0, 1}) {
          Facts facts = Given(mx, {}, sts);
          for (HostState state : list) facts.hosts.push_back(Host(state));
          facts.mx.unexamined = unexamined;
          for (const DecisionSettings& settings : kEverySetting)
            SettlesRightly(facts, settings);
        }
      }
    }
  }
}

void Settled(const Facts& facts, Verdict verdict) {
  const auto decision = Settle(facts, {});
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->verdict, verdict);
}

void Open(const Facts& facts) { EXPECT_FALSE(Settle(facts, {})); }

constexpr HostState kPending = HostState::kPending;

TEST(Settle, WaitsForTheMxLookup) {
  Open(Given(MxState::kPending, {}, StsState::kPending));
  Open(Given(MxState::kPending, {}, StsState::kOther));
  Open(Given(MxState::kPending, {}, StsState::kEnforce));
}

TEST(Settle, AFailedMxLookupIsTempAtOnce) {
  Settled(Given(MxState::kFailed, {}, StsState::kPending), Verdict::kTemp);
}

TEST(Settle, AnInsecureSetUnderEnforceIsSecureAtOnce) {
  Settled(Given(MxState::kInsecure, {kPending, kPending}, StsState::kEnforce),
          Verdict::kSecure);
}

TEST(Settle, AllUsableHostsNeedNoMtaSts) {
  Settled(Given(MxState::kSecure, {kUsable, kUsable}, StsState::kPending),
          Verdict::kDaneOnly);
  Open(Given(MxState::kInsecure, {kUsable}, StsState::kPending));
}

TEST(Settle, AUsableHostBesideAPendingOneIsOpen) {
  Open(Given(MxState::kSecure, {kUsable, kPending}, StsState::kEnforce));
  Open(Given(MxState::kSecure, {kUsable, kPending}, StsState::kOther));
}

TEST(Settle, OneHostWithTlsaIsDaneWhereNothingIsEnforced) {
  Settled(Given(MxState::kInsecure, {kUsable, kPending}, StsState::kOther),
          Verdict::kDane);
  Settled(Given(MxState::kSecure, {kUnusable, kPending}, StsState::kOther),
          Verdict::kDane);
  Settled(Given(MxState::kSecure, {kNone, kUsable, kPending}, StsState::kOther),
          Verdict::kDane);
}

TEST(Settle, AnUnknownHostThatCannotMatterHoldsNothing) {
  Settled(
      Given(MxState::kSecure, {kNone, kUnknown, kPending}, StsState::kEnforce),
      Verdict::kSecure);
}

TEST(Settle, NoHostLeftWaitsForMtaSts) {
  Open(Given(MxState::kInsecure, {}, StsState::kPending));
  Open(Given(MxState::kInsecure, {HostState::kNoAddress}, StsState::kPending));
  Settled(Given(MxState::kInsecure, {HostState::kNoAddress}, StsState::kOther),
          Verdict::kNotFound);
}

TEST(Settle, ManyHostsAreNoTrouble) {
  Facts facts = Given(MxState::kSecure, {}, StsState::kPending);
  facts.hosts.assign(kMaxHosts, Host(kPending));
  Open(facts);
  facts.hosts.assign(kMaxHosts, Host(kUsable));
  Settled(facts, Verdict::kDaneOnly);
  facts.mx.unexamined = 1;  // the host beyond the bound is unknown
  Open(facts);
  facts.sts.state = StsState::kOther;
  Settled(facts, Verdict::kDane);
}

// --- Unknown hosts ---

// Calls `call` for all lists of one to three hosts, sets and settings.
template <class Call>
void ForEveryList(Call call) {
  const std::vector<HostState> states = {kUsable, kUnusable, kNone, kUnknown};
  for (MxState mx : {MxState::kSecure, MxState::kInsecure})
    for (StsState sts : kAnySts)
      for (const DecisionSettings& settings : kEverySetting)
        for (size_t count = 1; count <= 3; ++count)
          for (size_t n = 0; n < (size_t{1} << (2 * count)); ++n) {
            Facts facts = Given(mx, {}, sts);
            for (size_t i = 0; i < count; ++i)
              facts.hosts.push_back(Host(states[n >> (2 * i) & 3]));
            call(facts, settings);
          }
}

Verdict VerdictFor(const Facts& facts, const DecisionSettings& settings) {
  return Settle(facts, settings).value().verdict;
}

// `dane` is as good only where it may stand: Postfix itself holds the unknown
// host to its records, or refuses it.
TEST(UnknownHost, NeverWeakensDaneOnly) {
  ForEveryList([](const Facts& facts, const DecisionSettings& settings) {
    if (VerdictFor(facts, settings) != Verdict::kDaneOnly) return;
    for (size_t i = 0; i < facts.hosts.size(); ++i) {
      Facts less = facts;
      less.hosts[i].state = kUnknown;
      const Verdict verdict = VerdictFor(less, settings);
      const bool dane_stands =
          facts.sts.state == StsState::kOther && settings.dane_is_enough;
      EXPECT_TRUE(verdict == Verdict::kDaneOnly || verdict == Verdict::kTemp ||
                  (verdict == Verdict::kDane && dane_stands));
    }
  });
}

// Every way in which the unknown hosts of `facts` can turn out.
void AddOutcomes(const Facts& facts, const DecisionSettings& settings,
                 std::set<Verdict>& all) {
  for (size_t i = 0; i < facts.hosts.size(); ++i) {
    if (facts.hosts[i].state != kUnknown) continue;
    for (HostState state : {kUsable, kUnusable, kNone, HostState::kNoAddress}) {
      Facts next = facts;
      next.hosts[i].state = state;
      AddOutcomes(next, settings, all);
    }
    return;
  }
  all.insert(VerdictFor(facts, settings));
}

TEST(UnknownHost, IsAnsweredAsAllItsOutcomesAgree) {
  ForEveryList([](const Facts& facts, const DecisionSettings& settings) {
    std::set<Verdict> outcomes;
    AddOutcomes(facts, settings, outcomes);
    const Verdict verdict = VerdictFor(facts, settings);
    if (outcomes.size() == 1) {
      EXPECT_EQ(verdict, *outcomes.begin());
    } else if (facts.sts.state == StsState::kOther && settings.dane_is_enough) {
      EXPECT_EQ(verdict, Verdict::kDane);
    } else {
      const bool usable =
          std::any_of(facts.hosts.begin(), facts.hosts.end(),
                      [](const auto& host) { return host.state == kUsable; });
      EXPECT_EQ(verdict, usable ? Verdict::kDaneOnly : Verdict::kTemp);
    }
  });
}

// --- AnswerTtl() ---

Seconds Ttl(const Facts& facts) {
  const auto decision = Settle(facts, {});
  EXPECT_TRUE(decision);
  return decision ? AnswerTtl(facts, *decision) : Seconds(-1);
}

// One secure host with TLSA, no MTA-STS; every TTL an hour.
Facts DaneDomain() {
  Facts facts = Given(MxState::kSecure, {kUsable}, StsState::kOther);
  facts.mx.ttl = facts.hosts[0].ttl = Seconds(3600);
  facts.sts.txt = StsTxt::kAbsent;
  facts.sts.txt_ttl = Seconds(3600);
  return facts;
}

// An insecure domain with an enforced policy; every TTL an hour.
Facts StsDomain() {
  Facts facts = Given(MxState::kInsecure, {kNone}, StsState::kEnforce);
  facts.mx.ttl = facts.hosts[0].ttl = Seconds(3600);
  facts.sts.txt = StsTxt::kValid;
  facts.sts.txt_ttl = Seconds(3600);
  facts.sts.fetch = StsFetch::kDone;
  facts.sts.policy = std::make_shared<const StsPolicy>();
  return facts;
}

TEST(AnswerTtl, IsTheSmallestTtlOfTheFacts) {
  Facts facts = DaneDomain();
  EXPECT_EQ(Ttl(facts), Seconds(3600));
  facts.sts.txt_ttl = Seconds(1800);
  EXPECT_EQ(Ttl(facts), Seconds(1800));
  facts.hosts[0].ttl = Seconds(900);
  EXPECT_EQ(Ttl(facts), Seconds(900));
  facts.mx.ttl = Seconds(300);
  EXPECT_EQ(Ttl(facts), Seconds(300));
}

TEST(AnswerTtl, StaysBetweenAMinuteAndAnHour) {
  Facts facts = DaneDomain();
  facts.mx.ttl = Seconds(0);
  EXPECT_EQ(Ttl(facts), Seconds(60));
  facts.mx.ttl = facts.hosts[0].ttl = facts.sts.txt_ttl = Seconds(2147483647);
  EXPECT_EQ(Ttl(facts), Seconds(3600));
}

TEST(AnswerTtl, CountsHostsThatWereDropped) {
  Facts facts = DaneDomain();
  facts.hosts.push_back(Host(HostState::kNoAddress));
  facts.hosts[1].ttl = Seconds(120);
  EXPECT_EQ(Ttl(facts), Seconds(120));
}

TEST(AnswerTtl, OfAMissingPolicyIsTheNegativeTtl) {
  Facts facts = Given(MxState::kInsecure, {kNone}, StsState::kOther);
  facts.mx.ttl = facts.hosts[0].ttl = Seconds(3600);
  facts.sts.txt = StsTxt::kAbsent;
  facts.sts.txt_ttl = Seconds(200);
  EXPECT_EQ(Ttl(facts), Seconds(200));
  facts.sts.txt = StsTxt::kInvalid;
  EXPECT_EQ(Ttl(facts), Seconds(200));
}

TEST(AnswerTtl, RechecksARecordAfterFiveMinutesToAnHour) {
  Facts facts = StsDomain();
  facts.sts.txt_ttl = Seconds(5);
  EXPECT_EQ(Ttl(facts), Seconds(300));
  facts.sts.txt_ttl = Seconds(86400);
  EXPECT_EQ(Ttl(facts), Seconds(3600));
}

TEST(AnswerTtl, IsSecondsWhereALookupFailed) {
  Facts failed = Given(MxState::kFailed, {}, StsState::kOther);
  EXPECT_EQ(Ttl(failed), Seconds(5));
  Facts unknown = DaneDomain();
  unknown.hosts[0].state = kUnknown;
  EXPECT_EQ(Ttl(unknown), Seconds(5)) << "dane";
  unknown.sts.state = StsState::kEnforce;
  EXPECT_EQ(Ttl(unknown), Seconds(5)) << "TEMP";
}

TEST(AnswerTtl, IsSecondsWhereTheMemoryCouldNotBeRead) {
  for (Facts facts : {DaneDomain(), StsDomain()}) {
    facts.sts.memory_unread = true;
    EXPECT_EQ(Ttl(facts), Seconds(5));
  }
}

TEST(AnswerTtl, IsSecondsBesideAnUnknownHostUnderEnforce) {
  EXPECT_EQ(
      Ttl(Given(MxState::kSecure, {kUsable, kUnknown}, StsState::kEnforce)),
      Seconds(5));
  EXPECT_EQ(Ttl(Given(MxState::kSecure, {kNone, kUnknown}, StsState::kEnforce)),
            Seconds(5));
}

TEST(AnswerTtl, IsHalfAMinuteWhereTheTxtLookupFailed) {
  Facts facts = DaneDomain();
  facts.sts.txt = StsTxt::kFailed;
  EXPECT_EQ(Ttl(facts), Seconds(30));
}

TEST(AnswerTtl, IsLongerWhereAPolicyIsRemembered) {
  Facts facts = StsDomain();
  facts.sts.txt = StsTxt::kFailed;
  EXPECT_EQ(Ttl(facts), Seconds(300));
}

TEST(AnswerTtl, LetsAFailedFetchBeRepeated) {
  Facts facts = DaneDomain();
  facts.sts.txt = StsTxt::kValid;
  for (StsFetch fetch : {StsFetch::kFailed, StsFetch::kSkipped}) {
    facts.sts.fetch = fetch;
    EXPECT_EQ(Ttl(facts), Seconds(300));
  }
  facts.sts.fetch = StsFetch::kPending;
  EXPECT_EQ(Ttl(facts), Seconds(5));
}

TEST(AnswerTtl, IgnoresAnMxThatWasNotLookedUp) {
  Facts facts = StsDomain();
  facts.mx.skipped = true;
  facts.mx.ttl = Seconds(0);
  facts.hosts.clear();
  EXPECT_EQ(Ttl(facts), Seconds(3600));
}

}  // namespace
}  // namespace postern
