#include "policy-daemon/decision.h"

#include <algorithm>
#include <array>
#include <bit>

namespace postern {
namespace {

constexpr Seconds kMinTtl{60};
constexpr Seconds kMaxTtl{3600};
// Failures are no facts: they are kept just long enough to damp the load.
constexpr Seconds kFailureTtl{5};
constexpr Seconds kTxtFailureTtl{30};
constexpr Seconds kMinTxtTtl{300};
// A failed fetch may be repeated after 5 min (RFC 8461 section 3.3): then the
// question has to reach the lookup again.
constexpr Seconds kRefetchTtl{300};

constexpr std::array kExaminedStates = {HostState::kUsable,
                                        HostState::kUnusable, HostState::kNone,
                                        HostState::kUnknown};

std::vector<HostStates> PossibleHostStates(const Facts& facts) {
  if (facts.mx.state == MxState::kPending ||
      facts.mx.state == MxState::kFailed) {
    return {HostStates{}};  // kPending is handled by the caller
  }
  HostStates known;
  if (facts.mx.unexamined > 0) known.Add(HostState::kUnknown);
  size_t pending = 0;
  for (const HostFacts& host : facts.hosts) {
    if (host.state == HostState::kPending)
      ++pending;
    else if (host.state != HostState::kNoAddress)
      known.Add(host.state);
  }
  // `pending` hosts can add any set of at most that many states, or none.
  std::vector<HostStates> possible;
  for (unsigned set = 0; set < 1u << kExaminedStates.size(); ++set) {
    if (static_cast<size_t>(std::popcount(set)) > pending) continue;
    HostStates states = known;
    for (size_t i = 0; i < kExaminedStates.size(); ++i)
      if (set & 1u << i) states.Add(kExaminedStates[i]);
    possible.push_back(states);
  }
  return possible;
}

Seconds Clamp(Seconds ttl) { return std::clamp(ttl, kMinTtl, kMaxTtl); }

}  // namespace

Row Decide(MxState mx, const HostStates& hosts, StsState sts) {
  const bool secure = mx == MxState::kSecure;
  const bool enforce = sts == StsState::kEnforce;
  // RFC 7672 section 2.1.2: a failed lookup is never read as "no record".
  if (mx == MxState::kFailed) return Row::kMxFailed;
  if (hosts.empty()) return enforce ? Row::kNoHostsEnforce : Row::kNoHostsOther;
  if (secure) {
    // All hosts may have usable records, for all that is known.
    const bool no_other =
        !hosts.Has(HostState::kUnusable) && !hosts.Has(HostState::kNone);
    if (hosts.Only(HostState::kUsable)) return Row::kAllUsable;
    if (hosts.Only(HostState::kUnknown))
      return enforce ? Row::kUnknownEnforce : Row::kUnknownOther;
    if (no_other)
      return enforce ? Row::kUsableOrUnknownEnforce
                     : Row::kUsableOrUnknownOther;
    if (enforce && !hosts.Only(HostState::kNone)) return Row::kMixedEnforce;
  } else if (enforce) {
    return Row::kInsecureEnforce;
  }
  if (!hosts.Only(HostState::kNone)) return Row::kSomeTlsaOther;
  return enforce ? Row::kAllNoneEnforce : Row::kAllNoneOther;
}

Verdict VerdictOf(Row row, const DecisionSettings& settings,
                  const HostStates& hosts) {
  switch (row) {
    case Row::kMxFailed:
    case Row::kUnknownEnforce:
      return Verdict::kTemp;
    case Row::kAllUsable:
    case Row::kUsableOrUnknownEnforce:
      return Verdict::kDaneOnly;
    case Row::kMixedEnforce:
      // Whatever an unknown host turns out to be, the set stays a mixed one:
      // only whether some host is usable can depend on it.
      if (!settings.mixed_reply_dane_only) return Verdict::kSecure;
      if (hosts.Has(HostState::kUsable)) return Verdict::kDaneOnly;
      return hosts.Has(HostState::kUnknown) ? Verdict::kTemp : Verdict::kSecure;
    case Row::kNoHostsEnforce:
    case Row::kInsecureEnforce:
    case Row::kAllNoneEnforce:
      return Verdict::kSecure;
    // With `dane` Postfix holds an unknown host to its records, or refuses it.
    // Where that is not to be had, `dane-only` may be what is due.
    case Row::kUsableOrUnknownOther:
      return settings.dane_is_enough ? Verdict::kDane : Verdict::kDaneOnly;
    case Row::kUnknownOther:
      return settings.dane_is_enough ? Verdict::kDane : Verdict::kTemp;
    case Row::kSomeTlsaOther:
      return settings.dane_is_enough ? Verdict::kDane : Verdict::kNotFound;
    case Row::kNoHostsOther:
    case Row::kAllNoneOther:
      return Verdict::kNotFound;
  }
  return Verdict::kTemp;
}

std::optional<Decision> Settle(const Facts& facts,
                               const DecisionSettings& settings) {
  if (facts.mx.state == MxState::kPending) return std::nullopt;
  std::vector<StsState> sts_states = {facts.sts.state};
  if (facts.sts.state == StsState::kPending)
    sts_states = {StsState::kEnforce, StsState::kOther};
  std::optional<Decision> settled;
  for (const HostStates& hosts : PossibleHostStates(facts)) {
    for (StsState sts : sts_states) {
      const Row row = Decide(facts.mx.state, hosts, sts);
      const Verdict verdict = VerdictOf(row, settings, hosts);
      if (!settled) settled = Decision{row, verdict};
      if (settled->verdict != verdict) return std::nullopt;
    }
  }
  return settled;
}

Seconds AnswerTtl(const Facts& facts, const Decision& decision) {
  if (decision.verdict == Verdict::kTemp) return kFailureTtl;
  Seconds ttl = kMaxTtl;
  if (!facts.mx.skipped) ttl = std::min(ttl, Clamp(facts.mx.ttl));
  for (const HostFacts& host : facts.hosts) {
    if (host.state == HostState::kUnknown) return kFailureTtl;
    if (host.state != HostState::kPending) ttl = std::min(ttl, Clamp(host.ttl));
  }
  // A remembered policy may be found in a moment.
  if (facts.sts.memory_unread) ttl = std::min(ttl, kFailureTtl);
  switch (facts.sts.txt) {
    case StsTxt::kFailed:
      // With a remembered policy the failure changes nothing.
      ttl = std::min(ttl, facts.sts.policy ? kMinTxtTtl : kTxtFailureTtl);
      break;
    case StsTxt::kValid:
      ttl = std::min(ttl, std::clamp(facts.sts.txt_ttl, kMinTxtTtl, kMaxTtl));
      break;
    case StsTxt::kAbsent:
    case StsTxt::kInvalid:
      ttl = std::min(ttl, Clamp(facts.sts.txt_ttl));
      break;
    case StsTxt::kPending:
      break;
  }
  switch (facts.sts.fetch) {
    case StsFetch::kPending:  // ends soon, and may change the answer
    case StsFetch::kCrowded:
    case StsFetch::kOurs:
      return std::min(ttl, kFailureTtl);
    case StsFetch::kFailed:
    case StsFetch::kSkipped:
      return std::min(ttl, kRefetchTtl);
    case StsFetch::kNone:
    case StsFetch::kDone:
      return ttl;
  }
  return ttl;
}

}  // namespace postern
