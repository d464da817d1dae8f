// Lookup: everything about one destination, gathered in parallel.
//
//   MX ──▶ each host: A, AAAA ──▶ TLSA      TXT ──▶ policy file
//
// After each fact it asks Settle() whether anything outstanding could still
// change the answer; if not, those who wait get it, while the rest goes on in
// the background and is remembered.
//
// Contract: loop thread only. Held by PolicyService while in flight and by its
// own branches and waiters, whoever ends last: hence shared.
#pragma once

#include <memory>
#include <optional>

#include "common/event.h"

#include "policy-daemon/dane_lookup.h"
#include "policy-daemon/decision.h"
#include "policy-daemon/facts.h"
#include "policy-daemon/sts_lookup.h"

namespace postern {

class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  // Everything given by reference outlives the lookup.
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    DaneLookup& dane;
    StsLookup& sts;
    // Of the facts of all lookups.
    std::shared_ptr<size_t> bytes_held = std::make_shared<size_t>(0);
  };
  struct Settings {
    bool with_dane = true;  // false: no MX or TLSA lookup is made
    bool with_sts = true;   // false: no MTA-STS policy is looked for
    DecisionSettings decision{};
  };
  Lookup(const World& world, Settings settings, PolicyKey key);
  ~Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  // `on_change` is called when the decision is first known, and once more
  // when everything is known.
  void Start(std::function<void()> on_change);

  const Facts& facts() const { return facts_; }
  const std::optional<Decision>& decision() const { return decision_; }
  bool complete() const { return running_ == 0; }
  Event& settled() { return settled_; }
  Event& completed() { return completed_; }

 private:
  Awaitable<void> RunDane(std::shared_ptr<Lookup> self);
  Awaitable<void> RunHosts(std::shared_ptr<Lookup> self);
  Awaitable<void> RunSts(std::shared_ptr<Lookup> self);
  // Ends a branch, however it ends.
  class Branch;
  void BranchEnded();
  void Update();
  void TakeHost(size_t index, HostFacts host);
  void CountBytes();

  World world_;
  Settings settings_;
  Facts facts_;
  std::optional<Decision> decision_;
  std::function<void()> on_change_;
  size_t running_ = 0;    // branches
  size_t next_host_ = 0;  // the first that no branch has taken up
  size_t tlsa_bytes_ = 0;
  size_t bytes_ = 0;  // counted in World::bytes_held
  Event settled_;
  Event completed_;
};

// The facts as they have to be read when no more time is left: what is
// pending counts as failed. A policy fetch stays pending.
Facts AtDeadline(Facts facts);

}  // namespace postern
