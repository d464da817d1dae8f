#include "policy-daemon/findings.h"

#include <algorithm>
#include <utility>

#include "common/clean_text.h"
#include "common/outcome_bounds.h"

#include "policy-daemon/postfix_reply.h"
#include "policy-daemon/tlsa.h"

namespace postern {
namespace {

Outcome OutcomeOf(const Facts& facts, PolicyType type, std::string domain) {
  Outcome outcome;
  outcome.domain = facts.key.domain;
  outcome.source = OutcomeSource::kPolicy;
  outcome.policy_type = type;
  outcome.policy_domain = std::move(domain);
  return outcome;
}

void AddDetail(Outcome& outcome, ResultType type, std::string host,
               const std::string& reason, bool failed) {
  outcome.failed = failed ? 1 : 0;
  FailureDetail detail;
  detail.result_type = type;
  detail.receiving_mx_hostname = std::move(host);
  detail.failed_session_count = outcome.failed;
  detail.failure_reason_code = CleanText(reason, kMaxReasonBytes);
  outcome.failure_details.push_back(std::move(detail));
}

Outcome StsOutcome(const Facts& facts) {
  Outcome outcome = OutcomeOf(facts, PolicyType::kSts, facts.key.domain);
  if (!facts.sts.policy) return outcome;
  outcome.policy_string = PolicyStrings(*facts.sts.policy);
  outcome.mx_host = facts.sts.policy->mx;
  return outcome;
}

Outcome DaneOutcome(const Facts& facts, const HostFacts& host) {
  Outcome outcome =
      OutcomeOf(facts, PolicyType::kTlsa,
                host.tlsa_base.empty() ? host.name : host.tlsa_base);
  outcome.policy_string = TlsaStrings(host.tlsa);
  return outcome;
}

bool IsNamed(const std::string& host, const StsPolicy& policy) {
  return std::any_of(policy.mx.begin(), policy.mx.end(),
                     [&](const std::string& pattern) {
                       return MatchesMxPattern(host, pattern);
                     });
}

// Others Postfix reports itself ("all-TLSA-records-unusable").
bool IsForTheWebAlone(const HostFacts& host) {
  return host.state == HostState::kUnusable && host.web_tlsa_only;
}

}  // namespace

std::vector<Finding> FindingsOf(const Facts& facts, Answered answered) {
  std::vector<Finding> findings;
  if (facts.sts.fetch == StsFetch::kFailed) {
    Outcome outcome = StsOutcome(facts);
    AddDetail(outcome, facts.sts.fetch_failure, "", facts.sts.fetch_told,
              answered.temp_for_policy_file);
    findings.push_back({std::move(outcome), std::nullopt, facts.sts.unreached});
  }
  if (facts.mx.failed) {
    Outcome outcome = OutcomeOf(facts, PolicyType::kTlsa, facts.key.domain);
    AddDetail(outcome, ResultType::kDnssecInvalid, "",
              "the MX records of " + facts.key.domain +
                  " cannot be validated by DNSSEC",
              answered.temp_for_dns);
    findings.push_back({std::move(outcome), facts.mx.failed});
  }
  const bool by_policy = answered.secure && !facts.mx.skipped &&
                         facts.sts.state == StsState::kEnforce;
  // The policy stands in it once, however many hosts there are.
  Outcome unnamed = StsOutcome(facts);
  // One session was deferred, however many hosts are to blame.
  bool failed = answered.temp_for_dns;
  for (const HostFacts& host : facts.hosts) {
    // The last place is for the hosts that the policy does not name.
    const bool has_room = findings.size() < kMaxFindings - 1;
    if (host.failed && has_room) {
      Outcome outcome = DaneOutcome(facts, host);
      AddDetail(outcome, ResultType::kDnssecInvalid, host.name,
                "the " + std::string(DnsTypeName(host.failed->type)) +
                    " records of " + host.failed->name +
                    " cannot be validated by DNSSEC",
                std::exchange(failed, false));
      findings.push_back({std::move(outcome), host.failed});
    } else if (has_room && IsForTheWebAlone(host)) {
      Outcome outcome = DaneOutcome(facts, host);
      AddDetail(outcome, ResultType::kTlsaInvalid, host.name,
                "SMTP knows TLSA usages 2 and 3 only (RFC 7672)", false);
      findings.push_back({std::move(outcome), std::nullopt});
    }
    if (by_policy && host.state != HostState::kNoAddress &&
        !IsNamed(host.name, *facts.sts.policy))
      AddDetail(unnamed, ResultType::kValidationFailure, host.name,
                "mx-host-mismatch", false);
  }
  if (!unnamed.failure_details.empty())
    findings.push_back({std::move(unnamed), std::nullopt});
  for (Finding& finding : findings) BoundOutcome(finding.outcome);
  return findings;
}

}  // namespace postern
