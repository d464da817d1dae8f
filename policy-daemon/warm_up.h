// WarmUp: next hops that will be asked about soon, on their way from the
// milter's threads to the loop.
//
// Why: a recipient is known seconds before its delivery; a lookup that starts
// at once is over by then. Whoever can send us mail can name domains here, so
// everything is bounded: what is on its way, what is remembered, and how many
// lookups are started a second. Too much of it costs the warm-up, nothing else.
//
// Contract: Offer() from any thread, the rest on the loop. The WarmUp outlives
// the loop's run.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <unordered_set>

#include <boost/asio/any_io_executor.hpp>

#include "common/clock.h"
#include "common/metrics.h"

namespace postern {

class WarmUp {
 public:
  // Starts a lookup. False: there is nothing to look up (known, or no key).
  using Start = std::function<bool(const std::string& next_hop)>;

  static constexpr int kMaxPending = 1000;  // on their way to the loop
  static constexpr int kPerSecond = 200;    // lookups started
  static constexpr int kBurst = 400;
  // A next hop is not looked at again for this long (at most twice as long),
  // nor while kMaxRecent others have come since.
  static constexpr Seconds kRecent{30};
  static constexpr size_t kMaxRecent = 4096;

  // `clock` and `metrics` outlive the WarmUp; `start` runs on the loop.
  WarmUp(boost::asio::any_io_executor executor, Clock& clock, Start start,
         Metrics& metrics);

  void Offer(std::string next_hop);

 private:
  void Take(const std::string& next_hop);
  bool IsRecent(const std::string& next_hop);
  void Refill();

  const boost::asio::any_io_executor executor_;
  std::atomic<int> pending_{0};
  prometheus::Counter& started_;
  prometheus::Counter& known_;
  prometheus::Counter& limited_;
  prometheus::Counter& dropped_;

  // From here on: loop thread only.
  Clock& clock_;
  Start start_;
  // Two generations: the younger becomes the older, the older is forgotten.
  std::unordered_set<std::string> recent_;
  std::unordered_set<std::string> before_;
  SteadyTime turned_at_;
  // Lookups that may be started now.
  double allowed_ = kBurst;
  SteadyTime refilled_at_;
};

}  // namespace postern
