// MaillogSessions: what Postfix's log says about sessions, as outcomes.
//
// The log names the MX host, never the next-hop: a recipient's domain is not
// it (transport maps), nor is relay=. But each smtp(8) process asks us for the
// policy of its next-hop before it connects, and its id is in both places: in
// the log's tag, and behind the socketmap connection (SO_PEERCRED). So a
// session belongs to the last query of its process before its first line,
// unless a delivery was over between the two: then Postfix has not asked us
// (another map answered), or connected to a host's next address after some
// recipients were refused. What cannot be attributed is counted and not
// reported: a wrong attribution is worse than none.
//
//   one process, several keys       attributed to
//   the same key again (for the     it: nothing has changed
//   next MX host, the next mail)
//   ".example.com" (parents)        not noted
//   a key, then another (the next   each session to the last before it
//   mail, smtp_fallback_relay)
//   several before a line that is   none (`ambiguous`), unless one delivery is
//   dated to the second, one of     known to have ended: by a line of a later
//   them within that second         second, or behind a session
//   none, or it is too old          none (`without_query`)
//   a key whose answer was "later"  none (`without_query`): no session follows
//   an address as next-hop          none (`not_reportable`): no domain
//
// A session has one outcome, that which Postfix 3.10 would have reported: its
// first failure, else the success of its handshake. It begins with its first
// TLS line and is judged at the process's next line that we know: the delivery,
// the next host. (Only then is it told whether a certificate that did not
// verify mattered.) Without a TLS line there is only what Postfix says where
// TLS was required. tlsproxy(8)'s lines are not read: smtp(8) repeats the
// summary, and its failures come without a reason.
//
// What the answer demands decides which policy applied:
//
//   answer             session                     policy
//   secure, dane-only  "Verified": a success       that of the answer
//                      all others: failures
//   dane               "Verified": a success       DANE, of the MX host
//                      no STARTTLS, certificate,
//                      records: failures           DANE
//                      handshake: a failure        DANE, if the host has TLSA
//                                                  records; or none
//                      otherwise a success         none, if the host has no
//                                                  TLSA records; or `unclear`
//   others             "Verified", certificate     `unclear`: a policy that is
//                                                  Postfix's own
//                      no STARTTLS, handshake:
//                      failures                    that of the answer
//                      otherwise a success         that of the answer
//
// Contract: one thread; `now` and the queries' times by the clock that dates
// the log. Bounded by Limits; the least recently seen process makes room.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/outcome.h"

#include "policy-daemon/answered_policy.h"
#include "policy-daemon/maillog_line.h"

namespace postern {

class MaillogSessions {
 public:
  struct Limits {
    size_t processes = 4096;  // Postfix: default_process_limit, each service
    size_t queries = 32;      // of a process, without an end of a delivery
    size_t bytes = 64 << 20;  // of policies
    // From a query to the last session that follows it. Postfix waits up to
    // 16 minutes for a host to greet and shake hands; and an hour later, a
    // clock without summer time would tell the same time again.
    Seconds lifetime{1800};
  };
  struct Counters {
    uint64_t reported = 0;
    // Sessions that are not:
    uint64_t without_query = 0;
    uint64_t ambiguous = 0;
    uint64_t not_reportable = 0;
    uint64_t unclear = 0;     // under which policy
    uint64_t unfinished = 0;  // the log does not tell their end
    // Failures before a session: the lookup reports them.
    uint64_t tlsa_lookup_failures = 0;
    uint64_t unknown_lines = 0;  // that look as if they mattered
  };

  explicit MaillogSessions(Limits limits) : limits_(limits) {}

  // `key`: as Postfix asked. `now`: from its arrival to when the reply goes
  // out, not later.
  // The policy is shared with the caller, who answers many by one.
  void NoteQuery(uint32_t pid, std::string_view key, AnsweredPolicyPtr policy,
                 LogTime now);

  // Some could not be noted: none is the last of its process for sure.
  void ForgetQueries();

  // What a line brings to an end; nearly always none or one. `now` dates them.
  std::vector<Outcome> TakeLine(const MaillogLine& line, LogTime now);

  const Counters& counters() const { return counters_; }
  size_t processes() const { return processes_.size(); }

 private:
  struct Query {
    AnsweredPolicyPtr policy;
    LogTime at;
    uint64_t number;  // in the order of their coming
  };
  struct Failure {
    ResultType type = ResultType::kValidationFailure;
    std::string reason;
  };
  struct Session {
    LogPeer peer;
    AnsweredPolicyPtr policy;               // null: counted already
    std::optional<SmtpEvent::Trust> trust;  // none: not yet shaken hands
    std::optional<Failure> problem;  // the first; matters if it was demanded
    bool tlsa_unusable = false;
  };
  struct Process {
    std::deque<Query> queries;       // of deliveries that may go on
    std::optional<Session> session;  // whose end is not known
    // The last session belongs to this query or a later one.
    uint64_t last_query = 0;
    // A handshake failed, and Postfix has not said what it makes of it.
    bool handshake_failed = false;
    // The message whose end was reported; its recipients have a line each.
    std::string ended_queue_id;
    LogTime ended_at{};
    std::list<uint32_t>::iterator age;
  };

  Process& Touch(uint32_t pid);
  void Drop(uint32_t pid);
  void ForgetFirst(Process& process);
  void Charge(const AnsweredPolicyPtr& policy);
  void Discharge(const AnsweredPolicyPtr& policy);
  Session NewSession(Process& process, const MaillogLine& line);
  Session& Begin(Process& process, const MaillogLine& line);
  void OnGivenUp(Process& process, const MaillogLine& line);
  void OnDelivered(Process& process, const MaillogLine& line);
  void End(Process& process, GivenUp how);
  static std::optional<PolicyType> PolicyOfHost(const Session& session);
  void JudgeHandshake(const Session& session, bool refused);
  void Report(const Session& session, PolicyType type,
              std::optional<Failure> failure);

  const Limits limits_;
  Counters counters_;
  uint64_t queries_ = 0;  // noted
  boost::unordered_flat_map<uint32_t, std::unique_ptr<Process>> processes_;
  std::list<uint32_t> by_age_;  // the least recently seen first
  // By how many queries a policy is held: shared ones are charged once.
  boost::unordered_flat_map<const AnsweredPolicy*, size_t> held_;
  size_t bytes_ = 0;  // of the policies that queries hold
  // Of the line at hand.
  LogTime now_{};
  std::vector<Outcome> outcomes_;
};

}  // namespace postern
