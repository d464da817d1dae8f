#include "policy-daemon/warm_up.h"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

#include "policy-daemon/policy_key.h"

namespace postern {
namespace {

prometheus::Counter& CounterOf(Metrics& metrics, const char* result) {
  return metrics.Counter("postern_warm_ups_total",
                         "Next hops that the milter saw, by what came of them",
                         {{"result", result}});
}

}  // namespace

WarmUp::WarmUp(boost::asio::any_io_executor executor, Clock& clock, Start start,
               Metrics& metrics)
    : executor_(std::move(executor)),
      started_(CounterOf(metrics, "started")),
      known_(CounterOf(metrics, "known")),
      limited_(CounterOf(metrics, "limited")),
      dropped_(CounterOf(metrics, "dropped")),
      clock_(clock),
      start_(std::move(start)),
      turned_at_(clock.Now()),
      refilled_at_(clock.Now()) {}

void WarmUp::Offer(std::string next_hop) {
  if (next_hop.empty() || next_hop.size() > kMaxKeyLength) {
    known_.Increment();
    return;
  }
  if (pending_.fetch_add(1, std::memory_order_relaxed) >= kMaxPending) {
    pending_.fetch_sub(1, std::memory_order_relaxed);
    dropped_.Increment();
    return;
  }
  boost::asio::post(executor_, [this, next_hop = std::move(next_hop)] {
    pending_.fetch_sub(1, std::memory_order_relaxed);
    Take(next_hop);
  });
}

void WarmUp::Take(const std::string& next_hop) {
  if (IsRecent(next_hop)) {
    known_.Increment();
    return;
  }
  Refill();
  if (allowed_ < 1) {
    limited_.Increment();  // not remembered: its next recipient tries again
    return;
  }
  recent_.insert(next_hop);
  if (!start_(next_hop)) {
    known_.Increment();
    return;
  }
  allowed_ -= 1;
  started_.Increment();
}

bool WarmUp::IsRecent(const std::string& next_hop) {
  const SteadyTime now = clock_.Now();
  if (now - turned_at_ >= kRecent || recent_.size() >= kMaxRecent) {
    // After a long pause the younger generation is old, too.
    const bool both = now - turned_at_ >= 2 * kRecent;
    before_ = both ? std::unordered_set<std::string>() : std::move(recent_);
    recent_.clear();
    turned_at_ = now;
  }
  return recent_.contains(next_hop) || before_.contains(next_hop);
}

void WarmUp::Refill() {
  const SteadyTime now = clock_.Now();
  const std::chrono::duration<double> passed = now - refilled_at_;
  allowed_ = std::min<double>(kBurst, allowed_ + passed.count() * kPerSecond);
  refilled_at_ = now;
}

}  // namespace postern
