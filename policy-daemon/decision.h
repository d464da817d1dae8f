// The table of decisions: docs/decision-table.md, in code.
//
// Pure. Decide() finds the first row that fits complete facts. SettledRow()
// asks it for every way in which the pending facts can end: where all agree,
// nothing outstanding can change the answer, and it may go out at once.
#pragma once

#include <optional>

#include "policy-daemon/facts.h"

namespace postern {

// Named after the first two columns, in the order of the table.
enum class Row {
  kMxFailed,
  kNoHostsEnforce,
  kNoHostsOther,
  kAllUsable,
  kUsableOrUnknownEnforce,
  kUnknownEnforce,
  kMixedEnforce,
  kInsecureEnforce,
  kUsableOrUnknownOther,
  kUnknownOther,
  kSomeTlsaOther,
  kAllNoneEnforce,
  kAllNoneOther,
};

enum class Verdict { kTemp, kSecure, kDaneOnly, kDane, kNotFound };

// A set of host states: what rows are made of.
class HostStates {
 public:
  void Add(HostState state) { bits_ |= Bit(state); }
  bool Has(HostState state) const { return (bits_ & Bit(state)) != 0; }
  bool empty() const { return bits_ == 0; }
  bool Only(HostState state) const { return bits_ == Bit(state); }

 private:
  static unsigned Bit(HostState state) {
    return 1u << static_cast<unsigned>(state);
  }
  unsigned bits_ = 0;
};

// Of complete facts. `hosts` holds neither kPending nor kNoAddress.
Row Decide(MxState mx, const HostStates& hosts, StsState sts);

// What the administrator has a say in.
struct DecisionSettings {
  bool mixed_reply_dane_only = false;  // policy.mixed_reply
  // policy.site_level allows that hosts without TLSA are used at `may`.
  bool dane_is_enough = true;
};

Verdict VerdictOf(Row row, const DecisionSettings& settings,
                  const HostStates& hosts);

// The answer for facts that may be incomplete; nullopt while something
// outstanding could change the row.
struct Decision {
  Row row;
  Verdict verdict;
};
std::optional<Decision> Settle(const Facts& facts,
                               const DecisionSettings& settings);

// How long the decision may be answered from memory: the smallest TTL of what
// it rests on, within 60 s and 1 h; seconds where something failed.
Seconds AnswerTtl(const Facts& facts, const Decision& decision);

}  // namespace postern
