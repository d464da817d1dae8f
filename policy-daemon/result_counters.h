// Counts what lookups found: DANE hosts by state, MTA-STS by result.
#pragma once

#include <array>

#include "common/metrics.h"

#include "policy-daemon/facts.h"

namespace postern {

class ResultCounters {
 public:
  explicit ResultCounters(Metrics& metrics);

  // The facts of a lookup that has ended.
  void Count(const Facts& facts);

 private:
  static constexpr size_t kHostStates = 6;
  static constexpr size_t kStsResults = 7;
  std::array<prometheus::Counter*, kHostStates> hosts_{};  // null: kPending
  std::array<prometheus::Counter*, kStsResults> sts_{};
  prometheus::Counter& left_out_;
};

}  // namespace postern
