// OutcomeSink: where the daemon tells what it found wrong with a domain.
//
// Postfix reports how its own sessions went; failures that only the policy
// lookup sees (RFC 8460 section 4.3.2) start here.
#pragma once

#include <string>

#include "common/metrics.h"
#include "common/outcome.h"

namespace postern {

struct PolicyFinding {
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
  virtual void Record(const PolicyFinding& finding) = 0;
};

// Counts outcomes by type.
class OutcomeCounter final : public OutcomeSink {
 public:
  explicit OutcomeCounter(Metrics& metrics);
  void Record(const PolicyFinding& finding) override;

 private:
  Metrics& metrics_;
};

}  // namespace postern
