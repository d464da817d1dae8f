#include "policy-daemon/maillog_sessions.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

using Demand = AnsweredPolicy::Demand;
using Policy = std::shared_ptr<const AnsweredPolicy>;
using std::chrono::microseconds;
using std::chrono::milliseconds;

Policy Sts(const std::string& domain) {
  AnsweredPolicy policy;
  policy.demand = Demand::kAuthentication;
  policy.domain = domain;
  policy.policy_type = PolicyType::kSts;
  policy.policy_domain = domain;
  policy.policy_string = {"version: STSv1", "mode: enforce"};
  policy.mx_host = {"mx." + domain};
  return std::make_shared<const AnsweredPolicy>(policy);
}

Policy Other(const std::string& domain, Demand demand = Demand::kNothing) {
  AnsweredPolicy policy;
  policy.demand = demand;
  policy.domain = domain;
  return std::make_shared<const AnsweredPolicy>(policy);
}

// "dane-only", or "dane" for `hosts`.
Policy Dane(const std::string& domain,
            const std::vector<std::string>& hosts = {}) {
  AnsweredPolicy policy;
  policy.demand = hosts.empty() ? Demand::kAuthentication : Demand::kDane;
  policy.domain = domain;
  policy.policy_type = PolicyType::kTlsa;
  using Host = AnsweredPolicy::Host;
  for (const std::string& host : hosts)
    policy.hosts.push_back({host, Host::Tlsa::kSome, host, {"3 1 1 AB"}});
  policy.hosts.push_back({"mx2.a.test", Host::Tlsa::kNone, "", {}});
  return std::make_shared<const AnsweredPolicy>(policy);
}

// An outcome on a line: "a.test sts a.test: ok".
std::string Told(const Outcome& outcome) {
  std::string text = outcome.domain + " " +
                     PolicyTypeName(outcome.policy_type) + " " +
                     outcome.policy_domain + ": ";
  if (outcome.successful == 1 && outcome.failed == 0) return text + "ok";
  EXPECT_EQ(outcome.failed, 1u);
  EXPECT_EQ(outcome.failure_details.size(), 1u);
  const FailureDetail& detail = outcome.failure_details.at(0);
  EXPECT_EQ(detail.failed_session_count, 1u);
  text += ResultTypeName(detail.result_type);
  for (const std::string& more :
       {detail.failure_reason_code, detail.receiving_mx_hostname,
        detail.receiving_ip})
    text += " " + (more.empty() ? "-" : more);
  return text;
}

// A millisecond goes by with each thing that happens.
class MaillogSessionsTest : public testing::Test {
 protected:
  static constexpr uint32_t kPid = 443;

  void Query(const std::string& key, const Policy& policy,
             uint32_t pid = kPid) {
    now_ += milliseconds(1);
    sessions_.NoteQuery(pid, key, policy, now_);
  }
  // A line of smtp(8); "" or what it brought to an end.
  std::string Log(const std::string& message, uint32_t pid = kPid) {
    now_ += milliseconds(1);
    return LogAt(now_, microseconds(1), message, pid);
  }
  std::string LogAt(LogTime at, microseconds precision,
                    const std::string& message, uint32_t pid = kPid) {
    const auto event = ParseSmtpMessage(message);
    if (!event) return "";
    MaillogLine line{pid, at, precision, *event, "mail", late_};
    std::string told;
    for (const Outcome& outcome : sessions_.TakeLine(line, now_)) {
      EXPECT_EQ(outcome.source, OutcomeSource::kLog);
      EXPECT_EQ(outcome.at, std::chrono::floor<Seconds>(now_));
      told += (told.empty() ? "" : "; ") + Told(outcome);
      last_ = outcome;
    }
    return told;
  }
  std::string Established(const std::string& trust,
                          const std::string& host = "mx.a.test",
                          uint32_t pid = kPid) {
    return Log(trust + " TLS connection established to " + host +
                   "[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)",
               pid);
  }
  std::string CertificateFailed(const std::string& why,
                                const std::string& host = "mx.a.test") {
    return Log("server certificate verification failed for " + host +
               "[192.0.2.1]:25: " + why);
  }
  std::string Delivered(uint32_t pid = kPid) {
    return Log(
        "40BC5A0: to=<a@b>, relay=mx.a.test[192.0.2.1]:25, delay=0, "
        "status=sent (250 ok)",
        pid);
  }
  std::string Deferred(const std::string& why,
                       const std::string& queue_id = "40BC5A0",
                       const std::string& relay = "mx.a.test[192.0.2.1]:25") {
    return Log(queue_id + ": to=<a@b>, relay=" + relay + ", status=deferred (" +
               why + ")");
  }
  const MaillogSessions::Counters& counters() { return sessions_.counters(); }

  LogTime now_{std::chrono::seconds(1795389000)};
  microseconds late_{0};
  MaillogSessions sessions_{{}};
  Outcome last_;
};

constexpr const char* kNotVerified = "Server certificate not verified";
constexpr const char* kNotOffered =
    "TLS is required, but was not offered by host mx.a.test[192.0.2.1]";

TEST_F(MaillogSessionsTest, ASuccessIsToldAtTheEndOfItsDelivery) {
  const Policy policy = Sts("a.test");
  Query("a.test", policy);
  EXPECT_EQ(Established("Verified"), "");
  EXPECT_EQ(Delivered(), "a.test sts a.test: ok");
  EXPECT_EQ(last_.policy_string, policy->policy_string);
  EXPECT_EQ(last_.mx_host, policy->mx_host);
  EXPECT_EQ(Delivered(), "") << "the next recipient";
  EXPECT_EQ(counters().reported, 1u);
}

TEST_F(MaillogSessionsTest, AFailureHasItsReason) {
  Query("a.test", Sts("a.test"));
  CertificateFailed("num=62:hostname mismatch");
  EXPECT_EQ(Established("Untrusted"), "");
  EXPECT_EQ(Deferred(kNotVerified),
            "a.test sts a.test: certificate-host-mismatch hostname_mismatch "
            "mx.a.test 192.0.2.1");
  EXPECT_EQ(Deferred(kNotVerified), "") << "the next recipient";
  EXPECT_EQ(counters().reported, 1u);
  EXPECT_EQ(counters().unfinished, 0u);
}

TEST_F(MaillogSessionsTest, EachMxHostIsASession) {
  Query("a.test", Sts("a.test"));
  CertificateFailed("certificate has expired", "mx1.a.test");
  Established("Untrusted", "mx1.a.test");
  EXPECT_EQ(Log(std::string("40BC5A0: ") + kNotVerified),
            "a.test sts a.test: certificate-expired certificate_has_expired "
            "mx1.a.test 192.0.2.1");
  Query("a.test", Sts("a.test"));
  Established("Verified", "mx2.a.test");
  EXPECT_EQ(Delivered(), "a.test sts a.test: ok");
}

TEST_F(MaillogSessionsTest, ASessionEndsWhereTheNextBegins) {
  Query("a.test", Sts("a.test"));
  Established("Verified", "mx1.a.test");
  // 451 to RCPT, say.
  EXPECT_EQ(Established("Verified", "mx2.a.test"), "a.test sts a.test: ok");
  // The same host again.
  EXPECT_EQ(Established("Verified", "mx2.a.test"), "a.test sts a.test: ok");
  EXPECT_EQ(Delivered(), "a.test sts a.test: ok");
}

TEST_F(MaillogSessionsTest, StarttlsThatIsMissing) {
  Query("a.test", Sts("a.test"));
  EXPECT_EQ(Log(std::string("40BC5A0: ") + kNotOffered),
            "a.test sts a.test: starttls-not-supported - mx.a.test 192.0.2.1");
  EXPECT_EQ(Deferred(kNotOffered),
            "a.test sts a.test: starttls-not-supported - mx.a.test 192.0.2.1");
  EXPECT_EQ(Deferred(kNotOffered), "") << "the next recipient";
  // The next mail; and the first one again, after a while.
  Query("a.test", Sts("a.test"));
  EXPECT_NE(Deferred(kNotOffered, "5EB6DA4"), "");
  now_ += std::chrono::minutes(5);
  Query("a.test", Sts("a.test"));
  EXPECT_NE(Deferred(kNotOffered, "5EB6DA4"), "");
}

TEST_F(MaillogSessionsTest, StarttlsThatIsMissingAfterAnotherHost) {
  Query("a.test", Sts("a.test"));
  Established("Verified", "mx1.a.test");
  EXPECT_EQ(Log(std::string("40BC5A0: ") + kNotOffered),
            "a.test sts a.test: ok; "
            "a.test sts a.test: starttls-not-supported - mx.a.test 192.0.2.1");
}

TEST_F(MaillogSessionsTest, AHandshakeThatFailsIsToldOnce) {
  Query("a.test", Other("a.test"));
  EXPECT_EQ(Log("SSL_connect error to mx.a.test[192.0.2.1]:25: -1"),
            "a.test no-policy-found a.test: validation-failure "
            "tls-handshake-failure mx.a.test 192.0.2.1");
  EXPECT_EQ(Deferred("Cannot start TLS: handshake failure"), "");
  EXPECT_EQ(Deferred("Cannot start TLS: handshake failure"), "");
  // With plain text, at `may`: no session in the sense of TLSRPT.
  Query("a.test", Other("a.test"));
  EXPECT_NE(Log("SSL_connect error to mx.a.test[192.0.2.1]:25: -1"), "");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().reported, 2u);
}

TEST_F(MaillogSessionsTest, TlsproxyKeepsItsReasonsToItself) {
  Query("a.test", Sts("a.test"));
  EXPECT_EQ(Log("40BC5A1: Cannot start TLS: handshake failure"),
            "a.test sts a.test: validation-failure tls-handshake-failure - -");
  Established("Trusted");
  EXPECT_EQ(Log(std::string("40BC5A1: ") + kNotVerified),
            "a.test sts a.test: certificate-host-mismatch - mx.a.test "
            "192.0.2.1");
  Established("Untrusted");
  EXPECT_EQ(Log(std::string("40BC5A1: ") + kNotVerified),
            "a.test sts a.test: certificate-not-trusted - mx.a.test 192.0.2.1");
  EXPECT_EQ(Deferred("Cannot start TLS: handshake failure", "40BC5A1"),
            "a.test sts a.test: validation-failure tls-handshake-failure "
            "mx.a.test 192.0.2.1");
  EXPECT_EQ(Deferred("Cannot start TLS: handshake failure", "40BC5A1"), "");
  // For DANE the host is the policy.
  Query("b.test", Dane("b.test"));
  EXPECT_EQ(Log("40BC5A2: Cannot start TLS: handshake failure"), "");
  EXPECT_EQ(counters().unclear, 1u);
}

TEST_F(MaillogSessionsTest, AVerificationThatIsNotDemandedDoesNotMatter) {
  // smtp_tls_loglevel=2 tells of certificates at `may`, too.
  Query("a.test", Other("a.test"));
  CertificateFailed("certificate has expired");
  Established("Untrusted");
  EXPECT_EQ(Delivered(), "a.test no-policy-found a.test: ok");
}

TEST_F(MaillogSessionsTest, ADemandIsKeptEvenIfLinesAreLost) {
  Query("a.test", Sts("a.test"));
  Established("Untrusted");
  EXPECT_EQ(Delivered(),
            "a.test sts a.test: certificate-not-trusted - mx.a.test 192.0.2.1");
  // No summary.
  Query("a.test", Sts("a.test"));
  CertificateFailed("certificate has expired");
  EXPECT_EQ(Deferred(kNotVerified, "5EB6DA4"), "");
  EXPECT_EQ(counters().unfinished, 1u);
  Query("a.test", Sts("a.test"));
  EXPECT_EQ(Deferred(kNotVerified, "5EB6DA5"), "");
  EXPECT_EQ(counters().unfinished, 2u);
  EXPECT_EQ(counters().reported, 1u);
}

TEST_F(MaillogSessionsTest, APolicyOfPostfixsOwnIsNotOurs) {
  Query("a.test", Other("a.test"));
  Established("Verified");
  EXPECT_EQ(Delivered(), "");
  Query("a.test", Other("a.test"));
  Established("Untrusted");
  EXPECT_EQ(Deferred(kNotVerified), "");
  EXPECT_EQ(counters().unclear, 2u);
  // `encrypt` is none.
  Query("a.test", Other("a.test"));
  EXPECT_EQ(Deferred(kNotOffered, "5EB6DA4"),
            "a.test no-policy-found a.test: starttls-not-supported - mx.a.test "
            "192.0.2.1");
}

TEST_F(MaillogSessionsTest, DaneOnlyIsThePolicyOfTheHost) {
  Query("a.test", Dane("a.test"));
  Established("Verified", "mx1.a.test");
  EXPECT_EQ(Delivered(), "a.test tlsa mx1.a.test: ok");
  EXPECT_TRUE(last_.policy_string.empty());
  Query("a.test", Dane("a.test"));
  CertificateFailed("num=65:no matching DANE TLSA records");
  Established("Untrusted");
  EXPECT_EQ(Deferred(kNotVerified),
            "a.test tlsa mx.a.test: certificate-not-trusted "
            "no_matching_DANE_TLSA_records mx.a.test 192.0.2.1");
  Query("a.test", Dane("a.test"));
  Log("warning: mx.a.test[192.0.2.1]:25: all TLSA records unusable");
  CertificateFailed("num=1:unspecified certificate verification error");
  Established("Untrusted");
  EXPECT_EQ(Log(std::string("5EB6DA4: ") + kNotVerified),
            "a.test tlsa mx.a.test: tlsa-invalid all-TLSA-records-unusable "
            "mx.a.test 192.0.2.1");
}

TEST_F(MaillogSessionsTest, ItsRecordsAreThoseAtTheTlsaBaseDomain) {
  AnsweredPolicy policy = *Dane("a.test");
  policy.hosts = {{"mx.a.test",
                   AnsweredPolicy::Host::Tlsa::kSome,
                   "mx.hosting.test",
                   {"3 1 1 AB"}}};
  Query("a.test", std::make_shared<const AnsweredPolicy>(policy));
  Established("Verified");
  EXPECT_EQ(Delivered(), "a.test tlsa mx.hosting.test: ok");
  EXPECT_EQ(last_.policy_string, std::vector<std::string>{"3 1 1 AB"});
}

TEST_F(MaillogSessionsTest, DaneIsJudgedHostByHost) {
  const auto query = [&] { Query("a.test", Dane("a.test", {"mx.a.test"})); };
  query();
  Established("Verified");
  EXPECT_EQ(Delivered(), "a.test tlsa mx.a.test: ok");
  query();
  Established("Trusted", "mx2.a.test");
  EXPECT_EQ(Delivered(), "a.test no-policy-found a.test: ok");
  // An MX set that is not signed, or tlsproxy found the records unusable.
  query();
  Established("Trusted");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().unclear, 1u);
  query();
  Log("warning: mx.a.test[192.0.2.1]:25: all TLSA records unusable, fallback "
      "to unauthenticated TLS");
  Established("Trusted");
  EXPECT_EQ(Delivered(),
            "a.test tlsa mx.a.test: tlsa-invalid all-TLSA-records-unusable "
            "mx.a.test 192.0.2.1");
  query();
  EXPECT_EQ(Log("SSL_connect error to mx2.a.test[192.0.2.1]:25: -1"),
            "a.test no-policy-found a.test: validation-failure "
            "tls-handshake-failure mx2.a.test 192.0.2.1");
  Log("warning: TLS policy lookup for a.test/mx.a.test: TLSA lookup error for "
      "mx.a.test:25");
  EXPECT_EQ(counters().tlsa_lookup_failures, 1u);
  EXPECT_EQ(Deferred(kNotOffered, "5EB6DA4"),
            "a.test tlsa mx.a.test: starttls-not-supported - mx.a.test "
            "192.0.2.1");
}

// Our lookup of its records failed, or an override has made none.
TEST_F(MaillogSessionsTest, AtDaneAHandshakeWithAnUnknownHostIsUnclear) {
  // tlsproxy's failure names no host.
  Query("a.test", Dane("a.test", {"mx.a.test"}));
  EXPECT_EQ(Log("5EB6DA4: Cannot start TLS: handshake failure"), "");
  EXPECT_EQ(counters().unclear, 1u);
  Query("a.test", Dane("a.test", {"mx.a.test"}));
  EXPECT_EQ(Log("SSL_connect error to mx3.a.test[192.0.2.1]:25: -1"), "");
  EXPECT_EQ(counters().unclear, 2u);
  EXPECT_EQ(counters().reported, 0u);
}

// Another map of smtp_tls_policy_maps has answered for that one.
TEST_F(MaillogSessionsTest, AHostThatTheNextHopDoesNotHaveIsElsewhere) {
  AnsweredPolicy policy = *Dane("a.test", {"mx.a.test"});
  policy.all_hosts = true;
  const auto shared = std::make_shared<const AnsweredPolicy>(policy);
  Query("a.test", shared);
  Established("Verified", "mx.b.test");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().without_query, 1u);
  Query("a.test", shared);
  Established("Verified", "mx.a.test");
  EXPECT_EQ(Delivered(), "a.test tlsa mx.a.test: ok");
}

TEST_F(MaillogSessionsTest, AMessageToTwoNextHopsHasTwoSessions) {
  Query("a.test", Sts("a.test"));
  EXPECT_EQ(Deferred(kNotOffered, "5EB6DA4"),
            "a.test sts a.test: starttls-not-supported - mx.a.test 192.0.2.1");
  Query("b.test", Sts("b.test"));
  EXPECT_EQ(Deferred(kNotOffered, "5EB6DA4"),
            "b.test sts b.test: starttls-not-supported - mx.a.test 192.0.2.1");
}

TEST_F(MaillogSessionsTest, AReusedConnectionIsNoSession) {
  Query("a.test", Sts("a.test"));
  Established("Verified");
  EXPECT_EQ(Delivered(), "a.test sts a.test: ok");
  EXPECT_EQ(Log("Verified TLS connection reused to mx.a.test[192.0.2.1]:25: "
                "TLSv1.3"),
            "");
  EXPECT_EQ(Delivered(), "");
}

TEST_F(MaillogSessionsTest, EachSessionBelongsToTheQueryBefore) {
  Query("a.test", Sts("a.test"));
  Query(".test", Other("test"));
  Established("Verified");
  Delivered();
  Query("b.test", Sts("b.test"));
  Established("Verified");
  EXPECT_EQ(Delivered(), "b.test sts b.test: ok");
}

TEST_F(MaillogSessionsTest, AQueryServesOneDelivery) {
  Query("a.test", Sts("a.test"));
  Established("Verified");
  Delivered();
  // Postfix's other map knew a policy: we were not asked.
  Established("Verified");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().without_query, 1u);
}

TEST_F(MaillogSessionsTest, LinesThatComeLateBelongWhereTheyBelonged) {
  Query("a.test", Sts("a.test"));
  const LogTime between = now_ + microseconds(500);
  Query("b.test", Sts("b.test"));
  LogAt(between, microseconds(1),
        "Verified TLS connection established to mx[192.0.2.1]:25: TLSv1.3");
  EXPECT_EQ(Delivered(), "a.test sts a.test: ok");
}

TEST_F(MaillogSessionsTest, ProcessesAreApart) {
  Query("a.test", Sts("a.test"), 1);
  Query("b.test", Sts("b.test"), 2);
  Established("Verified", "mx", 1);
  Established("Verified", "mx", 2);
  EXPECT_EQ(Delivered(2), "b.test sts b.test: ok");
  EXPECT_EQ(Delivered(1), "a.test sts a.test: ok");
}

TEST_F(MaillogSessionsTest, WithoutAQueryASessionIsCounted) {
  Established("Verified");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(Deferred(kNotOffered, "5EB6DA4"), "");
  EXPECT_EQ(counters().without_query, 2u);
  EXPECT_EQ(counters().reported, 0u);
}

TEST_F(MaillogSessionsTest, AQueryAfterTheLineIsNotItsOwn) {
  const LogTime before = now_;
  Query("a.test", Sts("a.test"));
  LogAt(before, microseconds(1),
        "Verified TLS connection established to mx[192.0.2.1]:25: TLSv1.3");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().without_query, 1u);
}

TEST_F(MaillogSessionsTest, AnOldQueryIsNone) {
  Query("a.test", Sts("a.test"));
  now_ += std::chrono::minutes(31);
  Established("Verified");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().without_query, 1u);
}

TEST_F(MaillogSessionsTest, NoSessionFollowsAnAnswerOfLater) {
  Query("a.test", Sts("a.test"));
  Query("b.test", Other("b.test", Demand::kLater));
  Established("Verified");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().without_query, 1u);
}

TEST_F(MaillogSessionsTest, AnAddressHasNoReport) {
  Query("[192.0.2.1]", Other(""));
  Established("Trusted");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().not_reportable, 1u);
}

class ToTheSecond : public MaillogSessionsTest {
 protected:
  // The next thing happens so long after the last full second.
  void At(int milliseconds_of_second) {
    now_ = std::chrono::floor<Seconds>(now_) +
           milliseconds(milliseconds_of_second - 1);
  }
  void SessionNow() {
    LogAt(std::chrono::floor<Seconds>(now_), Seconds(1),
          "Verified TLS connection established to mx[192.0.2.1]:25: TLSv1.3");
  }
  std::string EndNow() {
    return LogAt(std::chrono::floor<Seconds>(now_), Seconds(1),
                 "40BC5A0: to=<a@b>, relay=mx[192.0.2.1]:25, status=sent (ok)");
  }
};

TEST_F(ToTheSecond, TheQueryOfTheSameSecondIsItsOwn) {
  At(500);
  Query("a.test", Sts("a.test"));
  SessionNow();
  EXPECT_EQ(Delivered(), "a.test sts a.test: ok");
}

TEST_F(ToTheSecond, TwoQueriesOfOneKeyAreOne) {
  At(100);
  Query("a.test", Sts("a.test"));
  At(500);
  Query("a.test", Sts("a.test"));
  SessionNow();
  EXPECT_EQ(Delivered(), "a.test sts a.test: ok");
}

TEST_F(ToTheSecond, TwoKeysInASecondAreAmbiguous) {
  At(100);
  Query("a.test", Sts("a.test"));
  At(500);
  Query("b.test", Sts("b.test"));
  SessionNow();
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().ambiguous, 1u);
}

TEST_F(ToTheSecond, AQueryLaterInTheSecondMakesItAmbiguousToo) {
  Query("a.test", Sts("a.test"));
  now_ += Seconds(1);
  At(900);
  Query("b.test", Sts("b.test"));
  SessionNow();  // of the same second, but before or behind the query?
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().ambiguous, 1u);
}

TEST_F(ToTheSecond, ADeliveryThatIsOverTellsThemApart) {
  // By its session: a.test's query is before it, so before its end.
  At(500);
  Query("a.test", Sts("a.test"));
  SessionNow();
  EXPECT_EQ(EndNow(), "a.test sts a.test: ok");
  now_ += Seconds(2);
  At(900);
  Query("b.test", Sts("b.test"));
  SessionNow();
  EXPECT_EQ(EndNow(), "b.test sts b.test: ok");
  // By its time: without a session, c.test's end is in a later second.
  now_ += Seconds(2);
  Query("c.test", Other("c.test"));
  now_ += Seconds(1);
  EXPECT_EQ(EndNow(), "");
  now_ += Seconds(1);
  Query("d.test", Sts("d.test"));
  SessionNow();
  EXPECT_EQ(EndNow(), "d.test sts d.test: ok");
  // An end in the second of its query may be that of the delivery before.
  now_ += Seconds(2);
  At(500);
  Query("e.test", Other("e.test"));
  EXPECT_EQ(EndNow(), "");
  now_ += Seconds(2);
  At(500);
  Query("f.test", Sts("f.test"));
  SessionNow();
  EXPECT_EQ(EndNow(), "");
  EXPECT_EQ(counters().ambiguous, 1u);
}

TEST_F(ToTheSecond, QueriesOfOtherSecondsDoNotMatter) {
  Query("a.test", Sts("a.test"));
  now_ += Seconds(1);
  Query("b.test", Sts("b.test"));
  now_ += Seconds(1);
  const LogTime second = std::chrono::floor<Seconds>(now_);
  now_ += Seconds(1);
  Query("c.test", Sts("c.test"));
  LogAt(second, Seconds(1),
        "Verified TLS connection established to mx[192.0.2.1]:25: TLSv1.3");
  EXPECT_EQ(Delivered(), "b.test sts b.test: ok");
}

// rsyslog got it from journald, which was behind.
TEST_F(MaillogSessionsTest, ALineThatMayBeOlderThanTheLastQueryIsAmbiguous) {
  late_ = Seconds(1);
  Query("a.test", Sts("a.test"));
  Query("b.test", Sts("b.test"));
  Established("Verified");
  EXPECT_EQ(Delivered(), "");
  EXPECT_EQ(counters().ambiguous, 1u);
  now_ += Seconds(2);
  Query("a.test", Sts("a.test"));
  now_ += Seconds(2);
  Query("b.test", Sts("b.test"));
  now_ += Seconds(2);
  Established("Verified");
  EXPECT_EQ(Delivered(), "b.test sts b.test: ok");
}

TEST_F(MaillogSessionsTest, AClockThatWasSetBackStartsAnew) {
  Query("a.test", Sts("a.test"));
  now_ -= std::chrono::hours(1);
  Query("b.test", Sts("b.test"));
  Established("Verified");
  EXPECT_EQ(Delivered(), "b.test sts b.test: ok");
}

TEST_F(MaillogSessionsTest, LinesThatMayMatterAreCounted) {
  EXPECT_EQ(Log("Proven TLS connection established to mx[192.0.2.1]:25: x"),
            "");
  EXPECT_EQ(counters().unknown_lines, 1u);
}

TEST(MaillogSessionsLimits, TheLeastRecentlySeenProcessMakesRoom) {
  MaillogSessions sessions({.processes = 2});
  const LogTime now{std::chrono::seconds(1795389000)};
  const auto session_of = [&](uint32_t pid) {
    MaillogLine line{pid, now + microseconds(1), microseconds(1), {}, ""};
    line.event.kind = SmtpEvent::Kind::kEstablished;
    line.event.trust = SmtpEvent::Trust::kVerified;
    sessions.TakeLine(line, now);
    line.event = {};
    line.event.kind = SmtpEvent::Kind::kDelivered;
    return sessions.TakeLine(line, now).size();
  };
  sessions.NoteQuery(1, "a.test", Sts("a.test"), now);
  sessions.NoteQuery(2, "a.test", Sts("a.test"), now);
  EXPECT_EQ(session_of(1), 1u);
  sessions.NoteQuery(3, "a.test", Sts("a.test"), now);
  sessions.NoteQuery(1, "a.test", Sts("a.test"), now);
  EXPECT_EQ(sessions.processes(), 2u);
  EXPECT_EQ(session_of(1), 1u);
  EXPECT_EQ(session_of(3), 1u);
  EXPECT_EQ(session_of(2), 0u);
  EXPECT_EQ(sessions.counters().without_query, 1u);
}

TEST(MaillogSessionsLimits, PoliciesAreBounded) {
  MaillogSessions sessions({.queries = 4, .bytes = 64 * 1024});
  LogTime now{std::chrono::seconds(1795389000)};
  for (uint32_t pid = 1; pid <= 1000; ++pid) {
    AnsweredPolicy policy = *Sts("a.test");
    policy.policy_string.assign(4, std::string(1000, 'x'));
    sessions.NoteQuery(pid, "a.test",
                       std::make_shared<const AnsweredPolicy>(policy), now);
  }
  EXPECT_LE(sessions.processes(), 16u);
  EXPECT_GE(sessions.processes(), 8u);
  // Of one process, the last few.
  for (int i = 0; i < 100; ++i) {
    now += microseconds(1);
    sessions.NoteQuery(7, "x", Sts(std::to_string(i) + ".test"), now);
  }
  EXPECT_GE(sessions.processes(), 8u);
}

TEST(MaillogSessionsLimits, APolicyThatManyShareIsChargedOnce) {
  MaillogSessions sessions({.queries = 4, .bytes = 64 * 1024});
  LogTime now{std::chrono::seconds(1795389000)};
  AnsweredPolicy policy = *Sts("a.test");
  policy.policy_string.assign(4, std::string(1000, 'x'));
  const auto shared = std::make_shared<const AnsweredPolicy>(policy);
  for (int round = 0; round < 10; ++round)
    for (uint32_t pid = 1; pid <= 1000; ++pid)
      sessions.NoteQuery(pid, "a.test", shared, now);
  EXPECT_EQ(sessions.processes(), 1000u);
}

}  // namespace
}  // namespace postern
