#include "tests/support/outcomes.h"

#include <cstdlib>
#include <fstream>

#include "common/outcome_json.h"

namespace postern {

Outcome DeliveredSessions(WallTime at) {
  Outcome outcome;
  outcome.at = at;
  outcome.domain = "example.com";
  outcome.policy_type = PolicyType::kSts;
  outcome.policy_domain = "example.com";
  outcome.policy_string = {"version: STSv1", "mode: enforce",
                           "mx: mx.example.com", "max_age: 86400"};
  outcome.mx_host = {"mx.example.com"};
  outcome.successful = 3;
  outcome.record = "v=TLSRPTv1; rua=mailto:tls@example.com";
  return outcome;
}

Outcome FailedSession(WallTime at) {
  Outcome outcome = DeliveredSessions(at);
  outcome.successful = 0;
  outcome.failed = 1;
  outcome.failure_details = {
      {ResultType::kCertificateHostMismatch, "2001:db8::25", "mx.example.com",
       "helo.example.com", "198.51.100.7", 1, "seen \"twice\"", "some-reason"}};
  return outcome;
}

std::string LineOf(const Outcome& outcome) {
  std::string line;
  AppendOutcomeLine(outcome, line);
  if (const char* path = std::getenv("POSTERN_OUTCOME_LINES"))
    std::ofstream(path, std::ios::app) << line;
  return line;
}

}  // namespace postern
