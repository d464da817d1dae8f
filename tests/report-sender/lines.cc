#include "tests/report-sender/lines.h"

#include "common/outcome_json.h"

namespace postern {

Submitter ExampleOrg() {
  return {"Example Mail", "tls@example.org", "example.org", "mx1.example.org"};
}

Outcome StsSuccess(const std::string& domain) {
  Outcome outcome;
  outcome.at = kNow;
  outcome.domain = domain;
  outcome.policy_type = PolicyType::kSts;
  outcome.policy_domain = domain;
  outcome.policy_string = {"version: STSv1", "mode: enforce",
                           "mx: mx." + domain, "max_age: 86400"};
  outcome.mx_host = {"mx." + domain};
  outcome.successful = 3;
  outcome.record = "v=TLSRPTv1; rua=mailto:tls@" + domain;
  return outcome;
}

Outcome DaneFailure(const std::string& domain, const std::string& reason) {
  Outcome outcome;
  outcome.at = kNow;
  outcome.domain = domain;
  outcome.policy_type = PolicyType::kTlsa;
  outcome.policy_domain = "mx1." + domain;
  outcome.policy_string = {"3 1 1 AA", "3 1 1 BB"};
  outcome.failed = 1;
  FailureDetail& detail = outcome.failure_details.emplace_back();
  detail.sending_mta_ip = "192.0.2.25";
  detail.receiving_mx_hostname = "mx1." + domain;
  detail.receiving_ip = "2001:db8::7";
  detail.failed_session_count = 1;
  detail.failure_reason_code = reason;
  return outcome;
}

std::string LineOf(const Outcome& outcome) {
  std::string line;
  AppendOutcomeLine(outcome, line);
  return line;
}

}  // namespace postern
