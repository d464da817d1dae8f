// Is it us? Whether policy hosts are out of reach because of this machine's
// own network: a firewall, a dead uplink, a proxy that is needed.
//
// One host that lets nobody connect tells nothing. Where kDomains domains that
// were fine so far cannot be reached within kWindow, and nobody was reached in
// between, it is us: an outage, until somebody is reached again. Meanwhile
// nothing is held against the domains (policy_fetcher), and their owners are
// told nothing.
//
// So that the first of them is not told either, a finding that rests on a host
// out of reach is held until somebody is reached (it was the domain), there is
// an outage (it was us), or nobody else was asked within kWindow, or before the
// daemon ends.
//
// Contract: loop thread only; the sink is called from it. Holds at most
// kMaxHeldBytes: of more, the oldest are passed on.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "common/clock.h"
#include "common/metrics.h"

#include "policy-daemon/outcome_sink.h"

namespace postern {

class OutageWatch final : public OutcomeSink {
 public:
  static constexpr size_t kDomains = 3;
  static constexpr Seconds kWindow{600};
  static constexpr size_t kMaxHeldBytes = 1 << 20;

  // Everything given by reference outlives the watch.
  OutageWatch(Clock& clock, OutcomeSink& sink, Metrics& metrics);

  // A policy host answered: it does not matter what.
  void NoteReached();
  // No address of a policy host let us connect. `parent`: the registrable
  // domain; `news`: it is not known to be so.
  void NoteUnreached(const std::string& parent, bool news);

  bool outage() const { return outage_; }

  void Record(Finding finding) override;
  // What is held is passed on: nobody will be asked any more.
  void Finish() { Release(SteadyTime::max()); }

 private:
  struct Held {
    SteadyTime until;
    Finding finding;
  };

  void Release(SteadyTime until);
  void ReleaseOldest();
  void SetTimer();

  Clock& clock_;
  OutcomeSink& sink_;
  bool outage_ = false;
  std::map<std::string, SteadyTime> unreached_;  // fewer than kDomains
  std::deque<Held> held_;
  size_t held_bytes_ = 0;
  std::unique_ptr<Timer> timer_;
  prometheus::Gauge& gauge_;
  prometheus::Counter& ours_;
};

}  // namespace postern
