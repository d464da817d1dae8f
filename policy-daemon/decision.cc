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

// "(not cached)" in the table: an unknown host may be known a second later.
bool IsKept(Row row) { return row != Row::kUsableOrUnknownEnforce; }

Seconds Clamp(Seconds ttl) { return std::clamp(ttl, kMinTtl, kMaxTtl); }

}  // namespace

Row Decide(MxState mx, const HostStates& hosts, StsState sts) {
  const bool secure = mx == MxState::kSecure;
  const bool enforce = sts == StsState::kEnforce;
  // RFC 7672 section 2.1.2: a failed lookup is never read as "no record".
  if (mx == MxState::kFailed) return Row::kMxFailed;
  if (hosts.empty()) return enforce ? Row::kNoHostsEnforce : Row::kNoHostsOther;
  if (secure && hosts.Only(HostState::kUsable)) return Row::kAllUsable;
  if (enforce && secure) {
    if (hosts.Has(HostState::kUsable) && !hosts.Has(HostState::kUnusable) &&
        !hosts.Has(HostState::kNone))
      return Row::kUsableOrUnknownEnforce;
    if (hosts.Has(HostState::kUnknown)) return Row::kUnknownEnforce;
    if (hosts.Has(HostState::kUsable) || hosts.Has(HostState::kUnusable))
      return Row::kMixedEnforce;
    return Row::kAllNoneEnforce;
  }
  if (enforce) return Row::kInsecureEnforce;
  return hosts.Only(HostState::kNone) ? Row::kAllNoneOther
                                      : Row::kSomeTlsaOther;
}

Verdict VerdictOf(Row row, bool mixed_reply_dane_only,
                  const HostStates& hosts) {
  switch (row) {
    case Row::kMxFailed:
    case Row::kUnknownEnforce:
      return Verdict::kTemp;
    case Row::kAllUsable:
    case Row::kUsableOrUnknownEnforce:
      return Verdict::kDaneOnly;
    case Row::kMixedEnforce:
      return mixed_reply_dane_only && hosts.Has(HostState::kUsable)
                 ? Verdict::kDaneOnly
                 : Verdict::kSecure;
    case Row::kNoHostsEnforce:
    case Row::kInsecureEnforce:
    case Row::kAllNoneEnforce:
      return Verdict::kSecure;
    case Row::kSomeTlsaOther:
      return Verdict::kDane;
    case Row::kNoHostsOther:
    case Row::kAllNoneOther:
      return Verdict::kNotFound;
  }
  return Verdict::kTemp;
}

std::optional<Decision> Settle(const Facts& facts, bool mixed_reply_dane_only) {
  if (facts.mx.state == MxState::kPending) return std::nullopt;
  std::vector<StsState> sts_states = {facts.sts.state};
  if (facts.sts.state == StsState::kPending)
    sts_states = {StsState::kEnforce, StsState::kOther};
  std::optional<Decision> settled;
  for (const HostStates& hosts : PossibleHostStates(facts)) {
    for (StsState sts : sts_states) {
      const Row row = Decide(facts.mx.state, hosts, sts);
      const Verdict verdict = VerdictOf(row, mixed_reply_dane_only, hosts);
      if (!settled) settled = Decision{row, verdict};
      if (settled->verdict != verdict || IsKept(settled->row) != IsKept(row))
        return std::nullopt;
    }
  }
  return settled;
}

Seconds AnswerTtl(const Facts& facts, const Decision& decision) {
  if (!IsKept(decision.row)) return Seconds(0);
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
