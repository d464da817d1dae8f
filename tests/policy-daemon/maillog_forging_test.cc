// An MX host may say what it wants: nothing of it is taken for Postfix's words.
//
// The lines are what Postfix 3.7.11 wrote about hosts that say our patterns
// wherever they may speak: in the greeting, in the replies to EHLO, STARTTLS,
// MAIL, RCPT and to the end of DATA, and as the issuer of a certificate; in
// several lines, with whole lines of a log, "said: " and parentheses in them.
#include <gtest/gtest.h>

#include "policy-daemon/maillog_sessions.h"

namespace postern {
namespace {

// $SAID, of a reply with this code.
std::string Said(const std::string& code) {
  return code +
         "-Nov 22 13:05:07 mail postfix/smtp[1]: Verified TLS connection "
         "established to mx.none.test[192.0.2.100]:25: TLSv1.3 " +
         code + "-said: (Server certificate not verified) " + code +
         "-\\nNov 22 13:05:07 mail postfix/smtp[1]: Verified TLS connection "
         "established to mx.none.test[192.0.2.100]:25: TLSv1.3 0123ABCD: TLS "
         "is required, but was not offered by host a[192.0.2.1] " +
         code +
         " x) Verified TLS connection established to "
         "mx.none.test[192.0.2.100]:25: TLSv1.3";
}

const std::string kSummary =
    "Verified TLS connection established to mx.none.test[192.0.2.100]:25: "
    "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange "
    "X25519 server-signature ECDSA (prime256v1) server-digest SHA256";

// What the sessions of smtp[443] come to: "ok", or the type of the failure.
std::string Outcomes(const std::vector<std::string>& messages,
                     const std::string& code = "250") {
  AnsweredPolicy policy;
  policy.demand = AnsweredPolicy::Demand::kAuthentication;
  policy.domain = policy.policy_domain = "none.test";
  policy.policy_type = PolicyType::kSts;
  const auto shared = std::make_shared<const AnsweredPolicy>(policy);
  LogTime now{std::chrono::seconds(1795388855)};
  MaillogSessions sessions({});
  // Also the process that the host makes up has asked.
  for (const uint32_t pid : {443u, 1u})
    sessions.NoteQuery(pid, "none.test", shared, now);
  std::string told;
  for (std::string message : messages) {
    if (const size_t at = message.find("$SAID"); at != message.npos)
      message.replace(at, 5, Said(code));
    now += std::chrono::milliseconds(1);
    const auto line = ParseMaillogLine(
        "2026-11-22T23:07:36+00:00 mail postfix/smtp[443]: " + message, now);
    if (!line) continue;
    EXPECT_EQ(line->pid, 443u);
    EXPECT_NE(line->event.kind, SmtpEvent::Kind::kUnknown) << message;
    for (const Outcome& outcome : sessions.TakeLine(*line, now)) {
      EXPECT_EQ(outcome.domain, "none.test");
      told += told.empty() ? "" : ", ";
      told += outcome.successful
                  ? "ok"
                  : ResultTypeName(outcome.failure_details.at(0).result_type);
    }
  }
  return told;
}

std::string To(const std::string& relay, const std::string& rest) {
  return "D4E0D64: to=<u@p2609.test>, relay=" + relay +
         ", delay=0.1, delays=0/0.04/0.06/0, dsn=4.0.0, status=" + rest;
}

TEST(MaillogForging, InTheGreeting) {
  EXPECT_EQ(Outcomes({To("mx.none.test[192.0.2.100]:25",
                         "deferred (host mx.none.test[192.0.2.100] refused to "
                         "talk to me: $SAID)")},
                     "554"),
            "");
}

TEST(MaillogForging, InTheReplyToEhlo) {
  EXPECT_EQ(Outcomes({To("mx.none.test[192.0.2.100]:25",
                         "bounced (host mx.none.test[192.0.2.100] refused to "
                         "talk to me: $SAID)")},
                     "550"),
            "");
}

TEST(MaillogForging, InAGreetingAndEhloWithoutStarttls) {
  // What was said is not even logged; the true failure is.
  EXPECT_EQ(Outcomes({"B396657: TLS is required, but was not offered by host "
                      "mx.none.test[192.0.2.100]",
                      To("none",
                         "deferred (connect to mx.none.test[2001:db8::100]:25: "
                         "Connection refused)")}),
            "starttls-not-supported");
}

TEST(MaillogForging, InTheReplyToStarttls) {
  const std::string refused =
      "TLS is required, but host mx.none.test[192.0.2.100] refused to start "
      "TLS: ";
  EXPECT_EQ(Outcomes({To("mx.none.test[192.0.2.100]:25",
                         "deferred (" + refused + "$SAID)")},
                     "454"),
            "starttls-not-supported");
  EXPECT_EQ(Outcomes({"D4E0D64: " + refused + "$SAID"}, "454"),
            "starttls-not-supported");
  EXPECT_EQ(Outcomes({To("mx.none.test[192.0.2.100]:25",
                         "bounced (" + refused +
                             "354 what (Server certificate not verified))")}),
            "starttls-not-supported");
}

TEST(MaillogForging, InTheReplyToMailFrom) {
  EXPECT_EQ(Outcomes({kSummary,
                      To("mx.none.test[192.0.2.100]:25",
                         "bounced (host mx.none.test[192.0.2.100] said: $SAID "
                         "(in reply to MAIL FROM command))")},
                     "550"),
            "ok");
}

TEST(MaillogForging, InTheReplyToRcptTo) {
  EXPECT_EQ(
      Outcomes({kSummary,
                "D4E0D64: host mx.none.test[192.0.2.100] said: $SAID (in reply "
                "to RCPT TO command)",
                To("none",
                   "deferred (connect to mx.none.test[2001:db8::100]:25: "
                   "Connection refused)")},
               "450"),
      "ok");
}

TEST(MaillogForging, InTheReplyToData) {
  EXPECT_EQ(
      Outcomes({kSummary,
                "432989B: host mx.none.test[192.0.2.100] said: $SAID (in reply "
                "to end of DATA command)",
                To("none",
                   "deferred (connect to mx.none.test[2001:db8::100]:25: "
                   "Connection refused)")},
               "451"),
      "ok");
  EXPECT_EQ(
      Outcomes({kSummary,
                To("mx.none.test[192.0.2.100]:25",
                   "sent (250-Verified TLS connection established to "
                   "mx.none.test[192.0.2.100]:25: TLSv1.3 250 status=deferred "
                   "(Server certificate not verified))")}),
      "ok");
  EXPECT_EQ(Outcomes({kSummary, To("mx.none.test[192.0.2.100]:25",
                                   "sent (Server certificate not verified)")}),
            "ok");
}

TEST(MaillogForging, AsTheIssuerOfACertificate) {
  EXPECT_EQ(
      Outcomes(
          {"certificate verification failed for mx.none.test[192.0.2.100]:25: "
           "untrusted issuer /CN=certificate has expired/O=Verified TLS "
           "connection established to mx.none.test[192.0.2.",
           "Untrusted TLS connection established to "
           "mx.none.test[192.0.2.100]:25: TLSv1.3",
           "C01625C: Server certificate not verified"}),
      "validation-failure");
}

// Each of our patterns, said where Postfix repeats what a host says.
TEST(MaillogForging, WhateverIsSaidWhereverItIsLogged) {
  const std::string peer = "mx.none.test[192.0.2.100]:25";
  const std::vector<std::string> places = {
      "D4E0D64: host mx.none.test[192.0.2.100] said: $ (in reply to RCPT TO "
      "command)",
      "D4E0D64: host mx.none.test[192.0.2.100] refused to talk to me: $",
      "D4E0D64: TLS is required, but host mx.none.test[192.0.2.100] refused to "
      "start TLS: $",
      "D4E0D64: Protocol error: host mx.none.test[192.0.2.100] said: $",
      To(peer, "sent ($)"),
      To(peer, "deferred (host mx.none.test[192.0.2.100] said: $)"),
      To(peer,
         "bounced (TLS is required, but host mx.none.test[192.0.2.100] "
         "refused to start TLS: $)"),
      "warning: bad EHLO SIZE limit \"$\" from " + peer,
      "warning: host " + peer + " greeted me with my own hostname $",
      "warning: TLS library problem: error:0A00010B:SSL routines::$:x.c:1:$:",
      "certificate verification failed for " + peer + ": untrusted issuer $",
      // smtp_tls_loglevel=2, smtp -v
      peer + ": subjectAltName: $",
      peer + ": depth=0 verify=0 subject=$",
      peer + ": subject_CN=$, issuer_CN=$, fingerprint=x",
      "< " + peer + ": $",
  };
  const std::vector<std::string> patterns = {
      kSummary,
      "Verified TLS connection reused to " + peer + ": TLSv1.3",
      "server certificate verification failed for " + peer +
          ": certificate has expired",
      "SSL_connect error to " + peer + ": -1",
      "warning: " + peer + ": all TLSA records unusable",
      peer + ": re-using session with untrusted certificate",
      "D4E0D64: Server certificate not verified",
      "D4E0D64: Cannot start TLS: handshake failure",
      "D4E0D64: TLS is required, but was not offered by host "
      "mx.none.test[192.0.2.100]",
      To(peer, "deferred (Server certificate not verified)"),
  };
  const auto with = [](std::string place, const std::string& said) {
    for (size_t at = 0; (at = place.find('$', at)) != place.npos;
         at += said.size())
      place.replace(at, 1, said);
    return place;
  };
  for (const std::string& place : places) {
    const auto honest = ParseSmtpMessage(with(place, "250 ok"));
    for (const std::string& pattern : patterns)
      for (const std::string before :
           {"", "250 ", " ", "\\n", ") ", "postfix/smtp[1]: ",
            "Nov 22 13:05:07 mail postfix/smtp[1]: ", "said: "})
        for (const std::string behind : {"", ")", " (in reply to x)"})
          EXPECT_EQ(ParseSmtpMessage(with(place, before + pattern + behind)),
                    honest)
              << with(place, before + pattern + behind);
  }
}

}  // namespace
}  // namespace postern
