#include "policy-daemon/outcome_sink.h"

namespace postern {

const char* ResultTypeName(ResultType type) {
  switch (type) {
    case ResultType::kStsPolicyFetchError:
      return "sts-policy-fetch-error";
    case ResultType::kStsPolicyInvalid:
      return "sts-policy-invalid";
    case ResultType::kStsWebpkiInvalid:
      return "sts-webpki-invalid";
  }
  return "validation-failure";
}

OutcomeCounter::OutcomeCounter(Metrics& metrics) : metrics_(metrics) {}

void OutcomeCounter::Record(const Outcome& outcome) {
  metrics_
      .Counter("postern_outcomes_total", "Failures found by policy lookups",
               {{"type", ResultTypeName(outcome.type)}})
      .Increment();
}

}  // namespace postern
