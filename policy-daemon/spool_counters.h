// What postern-policy counts on the way into the spool.
#pragma once

#include <array>

#include "common/metrics.h"
#include "common/outcome.h"

#include "policy-daemon/tlsrpt_datagram.h"

namespace postern {

class SpoolCounters {
 public:
  explicit SpoolCounters(Metrics& metrics);

  // Outcomes that are on their way into the spool.
  void Count(OutcomeSource source, uint64_t outcomes) {
    outcomes_[static_cast<size_t>(source)]->Increment(
        static_cast<double>(outcomes));
  }
  prometheus::Counter& refused(DatagramFault fault) {
    return *refused_[static_cast<size_t>(fault)];
  }

  prometheus::Counter& datagrams;
  prometheus::Counter& lines;
  prometheus::Counter& bytes;
  prometheus::Counter& written;
  prometheus::Counter& lost;
  prometheus::Counter& stalls;
  prometheus::Gauge& failing;
  prometheus::Gauge& held;

 private:
  static constexpr size_t kSources = 3;
  std::array<prometheus::Counter*, kSources> outcomes_{};
  std::array<prometheus::Counter*, kDatagramFaults> refused_{};
};

}  // namespace postern
