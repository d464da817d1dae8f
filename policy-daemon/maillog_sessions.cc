#include "policy-daemon/maillog_sessions.h"

#include <algorithm>
#include <utility>

namespace postern {
namespace {

using Demand = AnsweredPolicy::Demand;
using Kind = SmtpEvent::Kind;
using Trust = SmtpEvent::Trust;

// A message that stays in the queue is tried again after minutes
// (minimal_backoff_time); until then, its lines tell of one session.
constexpr Seconds kOneDelivery{60};

using Host = AnsweredPolicy::Host;

// Null: we know of no such host.
const Host* FindHost(const AnsweredPolicy& policy, const std::string& name) {
  for (const Host& host : policy.hosts)
    if (host.name == name) return &host;
  return nullptr;
}

// A host that the next-hop does not have: the session is another's.
bool IsElsewhere(const AnsweredPolicy& policy, const LogPeer& peer) {
  return policy.all_hosts && !peer.host.empty() && !FindHost(policy, peer.host);
}

}  // namespace

MaillogSessions::Process& MaillogSessions::Touch(uint32_t pid) {
  const auto found = processes_.find(pid);
  if (found != processes_.end()) {
    by_age_.splice(by_age_.end(), by_age_, found->second->age);
    return *found->second;
  }
  while (processes_.size() >= limits_.processes) Drop(by_age_.front());
  auto process = std::make_unique<Process>();
  process->age = by_age_.insert(by_age_.end(), pid);
  return *(processes_[pid] = std::move(process));
}

void MaillogSessions::Drop(uint32_t pid) {
  const auto found = processes_.find(pid);
  const Process& process = *found->second;
  if (process.session && process.session->policy) ++counters_.unfinished;
  for (const Query& query : process.queries) Discharge(query.policy);
  by_age_.erase(process.age);
  processes_.erase(found);
}

void MaillogSessions::ForgetFirst(Process& process) {
  Discharge(process.queries.front().policy);
  process.queries.pop_front();
}

void MaillogSessions::Charge(const AnsweredPolicyPtr& policy) {
  if (held_[policy.get()]++ == 0) bytes_ += BytesOf(*policy);
}

void MaillogSessions::Discharge(const AnsweredPolicyPtr& policy) {
  const auto held = held_.find(policy.get());
  if (--held->second > 0) return;
  bytes_ -= BytesOf(*policy);
  held_.erase(held);
}

void MaillogSessions::NoteQuery(uint32_t pid, std::string_view key,
                                AnsweredPolicyPtr policy, LogTime now) {
  // A parent's answer is never a policy.
  if (key.starts_with('.')) return;
  Process& process = Touch(pid);
  auto& queries = process.queries;
  // If the clock was set back, nobody can tell what was before.
  while (!queries.empty() &&
         (queries.size() >= limits_.queries || queries.back().at > now ||
          queries.front().at + limits_.lifetime < now))
    ForgetFirst(process);
  Charge(policy);
  queries.push_back({std::move(policy), now, ++queries_});
  while (bytes_ > limits_.bytes && by_age_.size() > 1) Drop(by_age_.front());
}

void MaillogSessions::ForgetQueries() {
  for (auto& [pid, process] : processes_)
    while (!process->queries.empty()) ForgetFirst(*process);
}

// What cannot be attributed is counted here.
MaillogSessions::Session MaillogSessions::NewSession(Process& process,
                                                     const MaillogLine& line) {
  Session session;
  session.peer = line.event.peer;
  const auto& queries = process.queries;
  bool ambiguous = false;
  for (auto query = queries.rbegin(); query != queries.rend(); ++query) {
    if (query->at >= line.at + line.precision) continue;  // came later
    if (query->at + limits_.lifetime < line.at) break;
    if (!session.policy)
      session.policy = query->policy;
    else
      ambiguous |= *session.policy != *query->policy;
    process.last_query = query->number;
    // Those before it were over when the line was written.
    if (query->at <= line.at - line.late) break;
  }
  uint64_t* const count =
      ambiguous ? &counters_.ambiguous
      : !session.policy || session.policy->demand == Demand::kLater ||
              IsElsewhere(*session.policy, session.peer)
          ? &counters_.without_query
      : session.policy->domain.empty() ? &counters_.not_reportable
                                       : nullptr;
  if (count) {
    ++*count;
    session.policy = nullptr;
  }
  return session;
}

// The session that a TLS line is about, which may be its first.
MaillogSessions::Session& MaillogSessions::Begin(Process& process,
                                                 const MaillogLine& line) {
  auto& session = process.session;
  // What is said before the summary is part of it; behind it, the next began.
  if (session && (session->trust || session->peer != line.event.peer))
    End(process, GivenUp::kNot);
  process.handshake_failed = false;
  if (!session) session = NewSession(process, line);
  return *session;
}

std::vector<Outcome> MaillogSessions::TakeLine(const MaillogLine& line,
                                               LogTime now) {
  const SmtpEvent& event = line.event;
  now_ = now;
  outcomes_.clear();
  if (event.kind == Kind::kUnknown) {
    ++counters_.unknown_lines;
    return {};
  }
  Process& process = Touch(line.pid);
  switch (event.kind) {
    case Kind::kUnknown:
      break;
    case Kind::kEstablished:
      Begin(process, line).trust = event.trust;
      break;
    case Kind::kCertificateFailed:
    case Kind::kTlsaUnusable: {
      Session& session = Begin(process, line);
      session.tlsa_unusable |= event.kind == Kind::kTlsaUnusable;
      if (!session.problem)
        session.problem = Failure{event.result_type, event.reason};
      break;
    }
    case Kind::kHandshakeFailed:
      Begin(process, line);
      End(process, GivenUp::kHandshake);
      process.handshake_failed = true;
      break;
    case Kind::kReused:
    case Kind::kTlsaLookupFailed:
      End(process, GivenUp::kNot);
      if (event.kind == Kind::kTlsaLookupFailed)
        ++counters_.tlsa_lookup_failures;
      break;
    case Kind::kHostGivenUp:
      OnGivenUp(process, line);
      break;
    case Kind::kDelivered:
      OnDelivered(process, line);
      break;
  }
  return std::move(outcomes_);
}

// A host is given up; or the delivery with it.
void MaillogSessions::OnGivenUp(Process& process, const MaillogLine& line) {
  const GivenUp how = line.event.given_up;
  const bool of_session = process.session && how == GivenUp::kNotVerified;
  End(process, of_session ? how : GivenUp::kNot);
  if (of_session || how == GivenUp::kNot) return;
  if (how == GivenUp::kHandshake &&
      std::exchange(process.handshake_failed, false))
    return;  // SSL_connect's line has told
  // There was no TLS line: where TLS was not even begun, and with tlsproxy.
  process.session = NewSession(process, line);
  End(process, how);
}

// A delivery is over, for one of its recipients at least.
void MaillogSessions::OnDelivered(Process& process, const MaillogLine& line) {
  const std::string& queue_id = line.event.queue_id;
  auto& queries = process.queries;
  // A query since then: for another of the message's next-hops.
  const bool told = process.ended_queue_id == queue_id &&
                    line.at - process.ended_at < kOneDelivery &&
                    (queries.empty() || queries.front().at > line.at);
  process.ended_queue_id = queue_id;
  process.ended_at = line.at;
  if (!told || process.session) OnGivenUp(process, line);
  process.handshake_failed = false;
  // Its queries are those before this line, for all that is known.
  while (!queries.empty() && (queries.front().at <= line.at ||
                              queries.front().number <= process.last_query))
    ForgetFirst(process);
}

// The session's end is known: its first failure counts, or its success.
void MaillogSessions::End(Process& process, GivenUp how) {
  if (!process.session) return;
  const Session session = *std::exchange(process.session, std::nullopt);
  if (!session.policy) return;
  if (how == GivenUp::kNoStarttls) {
    // `dane` requires it only of hosts with TLSA records.
    Report(session,
           session.policy->demand == Demand::kDane
               ? PolicyType::kTlsa
               : session.policy->policy_type,
           Failure{ResultType::kStarttlsNotSupported, ""});
  } else if (how == GivenUp::kHandshake) {
    Failure failure{ResultType::kValidationFailure, "tls-handshake-failure"};
    if (session.tlsa_unusable) failure = *session.problem;
    if (const auto type = PolicyOfHost(session))
      Report(session, *type, std::move(failure));
    else
      ++counters_.unclear;
  } else if (session.trust) {
    JudgeHandshake(session, how == GivenUp::kNotVerified);
  } else {
    ++counters_.unfinished;
  }
}

// The policy for the session's MX host, by what was known when Postfix asked;
// nullopt: not enough.
std::optional<PolicyType> MaillogSessions::PolicyOfHost(
    const Session& session) {
  const AnsweredPolicy& policy = *session.policy;
  if (policy.demand != Demand::kDane) return policy.policy_type;
  const Host* host = FindHost(policy, session.peer.host);
  if (!host || host->has_tlsa == Host::Tlsa::kUnknown) return std::nullopt;
  return host->has_tlsa == Host::Tlsa::kSome ? PolicyType::kTlsa
                                             : PolicyType::kNoPolicyFound;
}

// After a handshake. `refused`: Postfix did not go on.
void MaillogSessions::JudgeHandshake(const Session& session, bool refused) {
  const bool verified = session.trust == Trust::kVerified;
  const auto of_host = PolicyOfHost(session);
  PolicyType type = of_host.value_or(PolicyType::kTlsa);
  bool failed = refused;
  bool clear = true;
  switch (session.policy->demand) {
    case Demand::kAuthentication:
      failed |= !verified;
      break;
    case Demand::kDane:
      failed |= session.tlsa_unusable;
      // Records, but no word of them: an MX set that is not signed, or
      // tlsproxy found them unusable.
      clear = failed || verified || type != PolicyType::kTlsa;
      if (failed || verified) type = PolicyType::kTlsa;
      break;
    case Demand::kNothing:
    case Demand::kLater:
      clear = !refused && !verified;
      break;
  }
  if (!clear) {
    ++counters_.unclear;
    return;
  }
  if (!failed) {
    Report(session, type, std::nullopt);
    return;
  }
  // As Postfix does where it has not found what is wrong with the chain.
  const ResultType by_trust = session.trust == Trust::kTrusted
                                  ? ResultType::kCertificateHostMismatch
                                  : ResultType::kCertificateNotTrusted;
  Report(session, type, session.problem.value_or(Failure{by_trust, ""}));
}

void MaillogSessions::Report(const Session& session, PolicyType type,
                             std::optional<Failure> failure) {
  const AnsweredPolicy& policy = *session.policy;
  Outcome outcome;
  outcome.at = std::chrono::floor<Seconds>(now_);
  outcome.domain = policy.domain;
  outcome.source = OutcomeSource::kLog;
  outcome.policy_type = type;
  if (type == PolicyType::kTlsa) {
    // tlsproxy tells of no host but where it was the last.
    if (session.peer.host.empty()) {
      ++counters_.unclear;
      return;
    }
    outcome.policy_domain = session.peer.host;
    const Host* host = FindHost(policy, session.peer.host);
    if (host && host->has_tlsa == Host::Tlsa::kSome) {
      outcome.policy_domain = host->tlsa_base;
      outcome.policy_string = host->tlsa;
    }
  } else if (type == PolicyType::kNoPolicyFound) {
    outcome.policy_domain = policy.domain;
  } else {
    outcome.policy_domain = policy.policy_domain;
    outcome.policy_string = policy.policy_string;
    outcome.mx_host = policy.mx_host;
  }
  outcome.successful = failure ? 0 : 1;
  outcome.failed = failure ? 1 : 0;
  if (failure) {
    FailureDetail detail;
    detail.result_type = failure->type;
    detail.receiving_mx_hostname = session.peer.host;
    detail.receiving_ip = session.peer.address;
    detail.failed_session_count = 1;
    detail.failure_reason_code = std::move(failure->reason);
    outcome.failure_details.push_back(std::move(detail));
  }
  ++counters_.reported;
  outcomes_.push_back(std::move(outcome));
}

}  // namespace postern
