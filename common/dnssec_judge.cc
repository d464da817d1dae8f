#include "common/dnssec_judge.h"

namespace postern {
namespace {

// Docker's forwarder: it relays to servers elsewhere, their AD bit included,
// and validates nothing itself.
const IpAddress kDockersForwarder{.v6 = false, .bytes = {127, 0, 0, 11}};

std::string WhyNotTrusted(AdTrust trust) {
  if (trust == AdTrust::kForwarder)
    return "it is Docker's forwarder, which passes on the DNSSEC verdicts of "
           "other machines unchecked";
  if (trust == AdTrust::kForbidden) return "dns.trust_ad is no";
  return "it is on another machine, and whoever sits between can forge its "
         "DNSSEC verdicts";
}

}  // namespace

AdTrust JudgeAdTrust(const IpAddress& server, TrustAd configured) {
  if (configured == TrustAd::kYes) return AdTrust::kTrusted;
  if (configured == TrustAd::kNo) return AdTrust::kForbidden;
  if (!server.IsLoopback()) return AdTrust::kElsewhere;
  return server == kDockersForwarder ? AdTrust::kForwarder : AdTrust::kTrusted;
}

std::string DnssecEffect(DnssecState state) {
  switch (state) {
    case DnssecState::kOn:
      return "";
    case DnssecState::kDoubted:
      return "DANE is in doubt: three more probes decide within a minute";
    case DnssecState::kOff:
      break;
  }
  return "DANE is off: no domain's DANE is looked up, and where Postfix's "
         "level "
         "is may, mail to domains with DANE can go out unencrypted; MTA-STS "
         "goes on";
}

std::string DnsServerTrouble(const DnsServerFacts& server, DnssecState state) {
  using Validation = DnsServerFacts::Validation;
  const std::string effect =
      state == DnssecState::kOn ? "" : ". " + DnssecEffect(state);
  if (server.trust != AdTrust::kTrusted) {
    const std::string why = "it is not trusted: " + WhyNotTrusted(server.trust);
    if (state == DnssecState::kOn)
      return why +
             ". It is not asked beside one that is trusted, not even while "
             "that "
             "one is silent: who can silence a resolver must not be able to "
             "switch DANE off; mail waits until it is back";
    return why + effect +
           ". Run a validating resolver (unbound) on 127.0.0.1, or set "
           "dns.trust_ad = yes if nobody can sit between (\"options trust-ad\" "
           "in resolv.conf does not count)";
  }
  if (!server.answers)
    return "it does not answer (" + server.silence +
           "): is it running? Mail to domains that are not in memory is "
           "deferred until it answers (dns.server)";
  if (server.validation == Validation::kNo)
    return "it does not validate DNSSEC" + effect +
           ". Switch validation on, e.g. unbound with a root trust anchor "
           "(auto-trust-anchor-file)";
  return "";
}

void DnssecJudge::Note(Round round, SteadyTime now) {
  switch (round) {
    case Round::kShowsNothing:
      return;
    case Round::kValidates:
      has_validated_ = true;
      state_ = DnssecState::kOn;
      return;
    case Round::kDoesNot:
      break;
  }
  if (state_ == DnssecState::kOff) return;
  if (!has_validated_) {
    state_ = DnssecState::kOff;
    return;
  }
  if (state_ == DnssecState::kOn) {
    state_ = DnssecState::kDoubted;
    agreeing_ = 0;
    counted_at_ = now;
    return;
  }
  // Rounds right after one another may all hear one passing fault.
  if (now - counted_at_ < kAgainAfter) return;
  counted_at_ = now;
  if (++agreeing_ == kRoundsToAgree) state_ = DnssecState::kOff;
}

}  // namespace postern
