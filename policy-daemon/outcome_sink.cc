#include "policy-daemon/outcome_sink.h"

namespace postern {

OutcomeCounter::OutcomeCounter(Metrics& metrics) : metrics_(metrics) {}

void OutcomeCounter::Record(const PolicyFinding& finding) {
  metrics_
      .Counter("postern_outcomes_total", "Failures found by policy lookups",
               {{"type", ResultTypeName(finding.type)}})
      .Increment();
}

}  // namespace postern
