// Does a server's word on DNSSEC count, does it validate, and is DANE on? Pure:
// facts in, verdicts and the words for a person out. The daemon's log and
// check-config say it in the same words.
#pragma once

#include <optional>
#include <string>

#include "common/clock.h"
#include "common/dns.h"
#include "common/listen_address.h"
#include "common/options.h"

namespace postern {

// May the AD bit of a server be believed (RFC 7672 section 2.1.3: only over a
// channel that nobody can sit on)?
enum class AdTrust {
  kTrusted,
  kElsewhere,  // on another machine
  kForwarder,  // on this one, but it relays what another machine says
  kForbidden,  // dns.trust_ad = no
};
AdTrust JudgeAdTrust(const IpAddress& server, TrustAd configured);

struct DnsServerFacts {
  enum class Validation { kUnknown, kYes, kNo };
  std::string name{};  // its address, with the port where it is not 53
  AdTrust trust = AdTrust::kTrusted;
  bool answers = true;
  std::string silence{};                         // why not, for a person
  Validation validation = Validation::kUnknown;  // by its last probe with data

  bool may_validate() const {
    return trust == AdTrust::kTrusted && validation != Validation::kNo;
  }
  bool validates() const {
    return trust == AdTrust::kTrusted && validation == Validation::kYes;
  }
};

// What is wrong with the server, what it means for mail, what to do; "" where
// nothing is. `state`: of all servers together.
std::string DnsServerTrouble(const DnsServerFacts& server, DnssecState state);

// What `state` means for mail; "" for kOn.
std::string DnssecEffect(DnssecState state);

// Is DANE on? A round of probes in which no server validates is believed at
// once only where none ever did: nothing was promised then. After one that
// did, kRoundsToAgree more rounds, kAgainAfter apart, must agree; until then
// DANE is doubted. A single round in which one validates settles it.
class DnssecJudge {
 public:
  enum class Round {
    kValidates,    // a server that we trust does
    kDoesNot,      // none of them does, and one of them answered
    kShowsNothing  // they are silent
  };
  static constexpr int kRoundsToAgree = 3;
  static constexpr Seconds kAgainAfter{10};

  // A round that ended at `now`.
  void Note(Round round, SteadyTime now);
  DnssecState state() const { return state_; }

 private:
  bool has_validated_ = false;
  DnssecState state_ = DnssecState::kOn;
  int agreeing_ = 0;
  SteadyTime counted_at_{};
};

}  // namespace postern
