// OutcomeSink: where the daemon tells what it found wrong with a domain.
//
// Postfix reports how its own sessions went; failures that only the policy
// lookup sees (RFC 8460 section 4.3.2) start here.
#pragma once

#include <string>

#include "common/metrics.h"

namespace postern {

// RFC 8460 section 4.3, as far as a policy daemon can tell.
enum class ResultType {
  kStsPolicyFetchError,
  kStsPolicyInvalid,
  kStsWebpkiInvalid,
};

// "sts-policy-fetch-error": the name in reports.
const char* ResultTypeName(ResultType type);

struct Outcome {
  std::string domain;  // the TLSRPT domain: that of the next-hop
  ResultType type = ResultType::kStsPolicyFetchError;
  std::string policy_domain;    // the domain, or the MX host for DANE
  std::string reason;           // for the domain's owner
  bool session_failed = false;  // the answer was TEMP for this reason
};

class OutcomeSink {
 public:
  virtual ~OutcomeSink() = default;
  // Called from the loop; must not block.
  virtual void Record(const Outcome& outcome) = 0;
};

// Counts outcomes by type.
class OutcomeCounter final : public OutcomeSink {
 public:
  explicit OutcomeCounter(Metrics& metrics);
  void Record(const Outcome& outcome) override;

 private:
  Metrics& metrics_;
};

}  // namespace postern
