// Lines that Postfix 3.7.11 wrote in the test internet, unless said otherwise.
#include "policy-daemon/maillog_line.h"

#include <cstdlib>
#include <ctime>

#include <gtest/gtest.h>

namespace postern {
namespace {

using Kind = SmtpEvent::Kind;
using Trust = SmtpEvent::Trust;
using std::chrono::microseconds;
using std::chrono::seconds;

// 2026-11-22T23:10:00Z
constexpr LogTime kNow{seconds(1795389000)};
const std::string kCipher =
    "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange "
    "X25519 server-signature ECDSA (prime256v1) server-digest SHA256";
const std::string kVerified =
    "Verified TLS connection established to mx.dane-match.test"
    "[192.0.2.105]:25: " +
    kCipher;

SmtpEvent Event(const std::string& message) {
  const auto event = ParseSmtpMessage(message);
  if (!event) ADD_FAILURE() << "of no interest: " << message;
  return event.value_or(SmtpEvent{});
}

void IsOfNoInterest(const std::string& message) {
  EXPECT_FALSE(ParseSmtpMessage(message)) << message;
}

void IsUnknown(const std::string& message) {
  EXPECT_EQ(Event(message).kind, Kind::kUnknown) << message;
}

TEST(MaillogLine, TellsHowAHandshakeEnded) {
  const SmtpEvent event = Event(kVerified);
  EXPECT_EQ(event.kind, Kind::kEstablished);
  EXPECT_EQ(event.trust, Trust::kVerified);
  EXPECT_EQ(event.peer, (LogPeer{"mx.dane-match.test", "192.0.2.105", 25}));
  for (const auto& [word, trust] : {std::pair{"Anonymous", Trust::kAnonymous},
                                    std::pair{"Untrusted", Trust::kUntrusted},
                                    std::pair{"Trusted", Trust::kTrusted}}) {
    const SmtpEvent other =
        Event(std::string(word) +
              " TLS connection established to mx.hosting.test"
              "[2001:db8::125]:25: " +
              kCipher);
    EXPECT_EQ(other.kind, Kind::kEstablished);
    EXPECT_EQ(other.trust, trust);
    EXPECT_EQ(other.peer, (LogPeer{"mx.hosting.test", "2001:db8::125", 25}));
  }
  // The next-hop is an address.
  EXPECT_EQ(Event("Verified TLS connection established to 192.0.2.100"
                  "[192.0.2.100]:2610: " +
                  kCipher)
                .peer,
            (LogPeer{"", "192.0.2.100", 2610}));
  // By the source.
  EXPECT_EQ(
      Event("Verified TLS connection reused to mx[192.0.2.1]:25: TLSv1.3").kind,
      Kind::kReused);
}

TEST(MaillogLine, TellsWhatIsWrongWithACertificate) {
  const auto problem = [](const std::string& begin, const std::string& end) {
    const SmtpEvent event =
        Event(begin +
              "certificate verification failed for mx.none.test"
              "[192.0.2.100]:2606: " +
              end);
    EXPECT_EQ(event.kind, Kind::kCertificateFailed) << end;
    EXPECT_EQ(event.peer, (LogPeer{"mx.none.test", "192.0.2.100", 2606}));
    return std::string(ResultTypeName(event.result_type)) + " " + event.reason;
  };
  EXPECT_EQ(problem("", "self-signed certificate"),
            "validation-failure self-signed_certificate");
  EXPECT_EQ(problem("",
                    "untrusted issuer /CN=certificate has expired/O="
                    "Verified TLS connection established to mx.none.test"
                    "[192.0.2."),
            "validation-failure untrusted_issuer");
  EXPECT_EQ(problem("server ", "certificate has expired"),
            "certificate-expired certificate_has_expired");
  EXPECT_EQ(problem("server ", "certificate not yet valid"),
            "validation-failure certificate_is_not_yet_valid");
  EXPECT_EQ(problem("", "not designated for use as a server certificate"),
            "validation-failure unsuitable_certificate_purpose");
  EXPECT_EQ(problem("server ", "num=62:hostname mismatch"),
            "certificate-host-mismatch hostname_mismatch");
  EXPECT_EQ(problem("server ", "num=65:no matching DANE TLSA records"),
            "certificate-not-trusted no_matching_DANE_TLSA_records");
  EXPECT_EQ(
      problem("server ", "num=1:unspecified certificate verification error"),
      "validation-failure unspecified_certificate_verification_error");
  // By the source.
  EXPECT_EQ(problem("CA ", "certificate has expired"),
            "certificate-expired certificate_has_expired");
  EXPECT_EQ(problem("", "not designated for use as a CA certificate"),
            "validation-failure unsuitable_certificate_purpose");
  EXPECT_EQ(problem("", "certificate chain longer than limit(9)"),
            "validation-failure certificate_chain_too_long");
  EXPECT_EQ(problem("", "not trusted by local or TLSA policy"),
            "certificate-not-trusted certificate_not_trusted");
}

TEST(MaillogLine, TellsOtherFailures) {
  const LogPeer peer{"mx.none.test", "192.0.2.100", 2601};
  SmtpEvent event =
      Event("SSL_connect error to mx.none.test[192.0.2.100]:2601: -1");
  EXPECT_EQ(event.kind, Kind::kHandshakeFailed);
  EXPECT_EQ(event.peer, peer);
  EXPECT_EQ(event.reason, "tls-handshake-failure");
  event = Event(
      "SSL_connect error to mx.none.test[192.0.2.100]:2601: lost "
      "connection");
  EXPECT_EQ(event.kind, Kind::kHandshakeFailed);

  for (const std::string end : {"", ", fallback to unauthenticated TLS"}) {
    event = Event(
        "warning: mx.dane-short.test[2001:db8::106]:25: all TLSA "
        "records unusable" +
        end);
    EXPECT_EQ(event.kind, Kind::kTlsaUnusable);
    EXPECT_EQ(event.result_type, ResultType::kTlsaInvalid);
    EXPECT_EQ(event.reason, "all-TLSA-records-unusable");
    EXPECT_EQ(event.peer, (LogPeer{"mx.dane-short.test", "2001:db8::106", 25}));
  }
  EXPECT_EQ(Event("warning: TLS policy lookup for dane-bogus-tlsa.test/"
                  "mx.dane-bogus-tlsa.test: TLSA lookup error for "
                  "mx.dane-bogus-tlsa.test:25")
                .kind,
            Kind::kTlsaLookupFailed);
  // By the source: 3.7, 3.10.
  for (const std::string what :
       {"certificate, look for details earlier in the log", "peer credential"})
    EXPECT_EQ(Event("mx.none.test[192.0.2.100]:2601: re-using session with "
                    "untrusted " +
                    what)
                  .result_type,
              ResultType::kCertificateNotTrusted);
}

TEST(MaillogLine, TellsWhyAHostIsGivenUp) {
  const auto given_up = [](const std::string& text) {
    const SmtpEvent event = Event("B396657: " + text);
    EXPECT_EQ(event.kind, Kind::kHostGivenUp);
    EXPECT_EQ(event.queue_id, "B396657");
    return event;
  };
  SmtpEvent event = given_up(
      "TLS is required, but was not offered by host mx.none.test[192.0.2.100]");
  EXPECT_EQ(event.given_up, GivenUp::kNoStarttls);
  EXPECT_EQ(event.peer, (LogPeer{"mx.none.test", "192.0.2.100", 0}));
  event = given_up(
      "TLS is required, but host mx.none.test[192.0.2.100] refused to start "
      "TLS: 454 4.7.0 TLS not available");
  EXPECT_EQ(event.given_up, GivenUp::kNoStarttls);
  EXPECT_EQ(event.peer.address, "192.0.2.100");
  event = given_up("Cannot start TLS: handshake failure");
  EXPECT_EQ(event.given_up, GivenUp::kHandshake);
  event = given_up("Server certificate not verified");
  EXPECT_EQ(event.given_up, GivenUp::kNotVerified);
  // By the source, of a reply whose code is neither 4xx nor 5xx.
  event = given_up(
      "Protocol error: TLS is required, but host mx.none.test[192.0.2.100] "
      "refused to start TLS: 354 what");
  EXPECT_EQ(event.given_up, GivenUp::kNoStarttls);
  // enable_long_queue_ids=yes
  EXPECT_EQ(Event("4cL2zQ5XyYz9ckw: Server certificate not verified").queue_id,
            "4cL2zQ5XyYz9ckw");
}

TEST(MaillogLine, TellsTheEndOfADelivery) {
  const auto delivered = [](const std::string& text) {
    const SmtpEvent event = Event("40BC5A0: to=" + text);
    EXPECT_EQ(event.kind, Kind::kDelivered) << text;
    EXPECT_EQ(event.queue_id, "40BC5A0");
    return event;
  };
  SmtpEvent event = delivered(
      "<user28@sts-enforce.test>, relay=mx.sts-enforce.test[2001:db8::127]:25, "
      "delay=0.11, delays=0/0/0.09/0.02, dsn=2.0.0, status=sent (250 "
      "Accepted)");
  EXPECT_EQ(event.given_up, GivenUp::kNot);
  EXPECT_EQ(event.peer, (LogPeer{"mx.sts-enforce.test", "2001:db8::127", 25}));
  event = delivered(
      "<user8@nxdomain.test>, relay=none, delay=0, delays=0/0/0/0, dsn=5.4.4, "
      "status=bounced (Host or domain name not found. Name service error for "
      "name=nxdomain.test type=AAAA: Host not found)");
  EXPECT_EQ(event.given_up, GivenUp::kNot);
  EXPECT_EQ(event.peer, LogPeer{});
  event = delivered(
      "<user17@dane-plain.test>, orig_to=<x>, relay=mx.dane-plain.test"
      "[2001:db8::116]:25, conn_use=2, delay=0.02, delays=0/0/0.01/0, "
      "dsn=4.7.4, status=deferred (TLS is required, but was not offered by "
      "host mx.dane-plain.test[2001:db8::116])");
  EXPECT_EQ(event.given_up, GivenUp::kNoStarttls);
  EXPECT_EQ(event.peer, (LogPeer{"mx.dane-plain.test", "2001:db8::116", 25}));
  event = delivered(
      "<u@p2621.test>, relay=mx.none.test[192.0.2.100]:2621, delay=0, "
      "delays=0/0/0/0, dsn=5.0.0, status=bounced (TLS is required, but host "
      "mx.none.test[192.0.2.100] refused to start TLS: 554 no)");
  EXPECT_EQ(event.given_up, GivenUp::kNoStarttls);
  EXPECT_EQ(delivered("<w@p2601.test>, relay=mx.none.test[192.0.2.100]:2601, "
                      "delay=0.15, delays=0.04/0.09/0.01/0, dsn=4.7.5, "
                      "status=deferred (Cannot start TLS: handshake failure)")
                .given_up,
            GivenUp::kHandshake);
  EXPECT_EQ(delivered("<a@p2616.test>, relay=mx.none.test[192.0.2.100]:2616, "
                      "delay=0.01, delays=0/0/0/0, dsn=4.7.5, "
                      "status=deferred (Server certificate not verified)")
                .given_up,
            GivenUp::kNotVerified);
  // Relay hosts keep their case.
  EXPECT_EQ(
      delivered("<a@b>, relay=MX.Test[192.0.2.1]:25, status=sent (250 ok)")
          .peer.host,
      "mx.test");
}

TEST(MaillogLine, AddressesEndWhereTheyEnd) {
  EXPECT_EQ(
      Event("8F420C1: to=<\"a>, relay=b[1.2.3.4]:25, status=deferred "
            "(x\"@p2610.test>, relay=mx.none.test[192.0.2.100]:2610, "
            "delay=0.03, delays=0.01/0/0.02/0, dsn=2.0.0, status=sent (250 ok)")
          .peer,
      (LogPeer{"mx.none.test", "192.0.2.100", 2610}));
  EXPECT_EQ(Event("9B503C3: to=<\"a \\\" b>, relay=b[1.2.3.4]:25\"@p2610.test>,"
                  " relay=mx.none.test[192.0.2.100]:2610, delay=0.01, "
                  "delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 ok)")
                .peer,
            (LogPeer{"mx.none.test", "192.0.2.100", 2610}));
  // info_log_address_format=internal
  IsUnknown(
      "86BEDFA: to=<a b>, relay=b[1.2.3.4]:25@p2610.test>, relay=mx.none.test"
      "[192.0.2.100]:2610, delay=0.11, delays=0.03/0.02/0.05/0, dsn=2.0.0, "
      "status=sent (250 ok)");
  IsUnknown("86BEDFA: to=<\"a>, relay=none, status=sent (250 ok)");
}

TEST(MaillogLine, LeavesOutWhatTellsNothingOfTls) {
  for (const std::string message :
       {"",
        " ",
        "x",
        "connect to mx.none.test[2001:db8::100]:2601: Connection "
        "refused",
        "warning: TLS library problem: error:0A00010B:SSL routines::wrong "
        "version number:../ssl/record/ssl3_record.c:350:",
        "warning: _25._tcp.mx.dane-unusable.test unsupported TLSA certificate "
        "usage: 1 1 1 0123",
        "warning: mx.dane-short.test[192.0.2.106]:25: unusable TLSA RR: 3 1 1 "
        "0123",
        "warning: TLS policy lookup for a.test/mx.a.test: client TLS "
        "configuration problem",
        "warning: no MX host for no-address.test has a valid address record",
        "setting up TLS connection to mx.none.test[192.0.2.100]:2605",
        "mx.none.test[192.0.2.100]:2605: depth=0 verify=0 "
        "subject=/CN=mx.none.test",
        "mx.none.test[192.0.2.100]:2605: subject_CN=re-using session with "
        "untrusted certificate, issuer_CN=x",
        "SSL_connect:SSLv3/TLS write client hello",
        "D4E0D64: host mx.none.test[192.0.2.100] said: 450 no",
        "D4E0D64: lost connection with mx.none.test[192.0.2.100] while "
        "receiving the initial server greeting",
        "D4E0D64: TLS is required, but our TLS engine is unavailable",
        "warning: Server certificate not verified",
        "error: Server certificate not verified",
        ": Server certificate not verified",
        "D4E0D64: Server certificate not verified."})
    IsOfNoInterest(message);
}

TEST(MaillogLine, NamesWhatItDoesNotUnderstand) {
  IsUnknown("Proven TLS connection established to mx[192.0.2.1]:25: TLSv1.4");
  IsUnknown("Verified TLS connection resumed to mx[192.0.2.1]:25: TLSv1.4");
  IsUnknown("Verified TLS connection established to mx[private/x]:25: TLSv1");
  IsUnknown("Verified TLS connection established to mx y[192.0.2.1]:25: TLS");
  IsUnknown("Verified TLS connection established to mx[192.0.2.1]:99999: TLS");
  IsUnknown("certificate verification failed for mx[192.0.2.1]:25: new words");
  IsUnknown("certificate verification failed for mx[192.0.2.1]:25: num=x:y");
  IsUnknown("SSL_connect error to mx: lost connection");
  IsUnknown("warning: mx[192.0.2.1]:25: all TLSA records unusable today");
  IsUnknown("40BC5A0: to=<a@b.test>, relay=c.test, status=sent (250 ok)");
}

MaillogLine Line(const std::string& line, LogTime now = kNow) {
  const auto parsed = ParseMaillogLine(line, now);
  if (!parsed) ADD_FAILURE() << "of no interest: " << line;
  return parsed.value_or(MaillogLine{});
}

// While it lives, local time is that of another place.
class Place {
 public:
  explicit Place(const char* zone) {
    if (const char* old = std::getenv("TZ")) old_ = old;
    Set(zone);
  }
  ~Place() { Set(old_.empty() ? nullptr : old_.c_str()); }

 private:
  static void Set(const char* zone) {
    zone ? setenv("TZ", zone, 1) : unsetenv("TZ");
    tzset();
  }
  std::string old_;
};

TEST(MaillogLine, ReadsTraditionalTimestamps) {
  const Place place("UTC");
  const MaillogLine line =
      Line("Nov 22 23:07:35 mail postfix/smtp[443]: " + kVerified);
  EXPECT_EQ(line.pid, 443u);
  EXPECT_EQ(line.host, "mail");
  EXPECT_EQ(line.at, LogTime(seconds(1795388855)));
  EXPECT_EQ(line.precision, seconds(1));
  EXPECT_EQ(line.event, Event(kVerified));
  const std::string rest = " 23:07:35 m postfix/smtp[1]: " + kVerified;
  EXPECT_EQ(Line("Nov  2" + rest).at,
            LogTime(seconds(1795388855)) - std::chrono::days(20));
}

TEST(MaillogLine, TraditionalTimestampsAreOfTheNearestYear) {
  const Place place("UTC");
  const std::string line = "Dec 31 23:59:59 m postfix/smtp[1]: " + kVerified;
  const LogTime new_year{seconds(1798761600)};  // 2027-01-01T00:00:00Z
  EXPECT_EQ(Line(line, new_year).at, new_year - seconds(1));
  EXPECT_EQ(Line(line, new_year - seconds(10)).at, new_year - seconds(1));
  EXPECT_EQ(Line("Jan  1 00:00:00 m postfix/smtp[1]: " + kVerified,
                 new_year - seconds(1))
                .at,
            new_year);
}

TEST(MaillogLine, TraditionalTimestampsAreLocal) {
  const Place place("PST8");
  EXPECT_EQ(Line("Nov 22 15:07:35 m postfix/smtp[1]: " + kVerified).at,
            LogTime(seconds(1795388855)));
}

TEST(MaillogLine, ReadsRfc3339Timestamps) {
  const std::string rest = " mail postfix/smtp[443]: " + kVerified;
  MaillogLine line = Line("2026-11-22T23:07:35.123456+00:00" + rest);
  EXPECT_EQ(line.at, LogTime(microseconds(1795388855123456)));
  EXPECT_EQ(line.precision, microseconds(1));
  line = Line("2026-11-22T15:07:35.123-08:00" + rest);
  EXPECT_EQ(line.at, LogTime(microseconds(1795388855123000)));
  EXPECT_EQ(line.precision, microseconds(1000));
  line = Line("2026-11-23T04:37:35+05:30" + rest);
  EXPECT_EQ(line.at, LogTime(seconds(1795388855)));
  EXPECT_EQ(line.precision, seconds(1));
  EXPECT_EQ(Line("2026-11-22T23:07:35.123456789Z" + rest).at,
            LogTime(microseconds(1795388855123456)));
}

TEST(MaillogLine, KnowsSmtpByItsTag) {
  for (const char* tag :
       {"postfix/smtp", "postfix/relay/smtp", "postfix-out/smtp", "mx-out/smtp",
        "mail/out/smtp", "p/smtp"})
    EXPECT_TRUE(IsSmtpTag(tag)) << tag;
  for (const char* tag : {"", "smtp", "/smtp", "postfix", "postfix/smtpd",
                          "postfix/lmtp", "postfix/tlsproxy", "postfix/smtp/"})
    EXPECT_FALSE(IsSmtpTag(tag)) << tag;
  Line("Nov 22 23:07:35 m postfix-out/smtp[1]: " + kVerified);
  Line("Nov 22 23:07:35 m mx-out/smtp[1]: " + kVerified);
}

TEST(MaillogLine, AFormThatIsReadIsToldFromOthers) {
  for (const char* line :
       {"Nov 22 23:07:35 mail postfix/smtpd[443]: connect from x[192.0.2.1]",
        "2026-11-22T23:07:35.123456+01:00 mail mx/qmgr[443]: ABC: removed",
        "Nov  2 23:07:35 mail sshd[1]: "})
    EXPECT_TRUE(IsMaillogForm(line)) << line;
  for (const char* line :
       {"", "1 2026-11-22T23:07:35Z mail postfix/smtp 443 - - text",
        "<22>Nov 22 23:07:35 mail postfix/smtp[443]: text",
        "mail postfix/smtp[443]: text",
        "{\"message\": \"postfix/smtp[443]: text\"}",
        "2026-11-22 23:07:35 mail postfix/smtp[443]: text",
        "1795388855.123 mail postfix/smtp[443]: text",
        "Nov 22 23:07:35 mail postfix/smtp: text"})
    EXPECT_FALSE(IsMaillogForm(line)) << line;
}

TEST(MaillogLine, OtherLinesAreOfNoInterest) {
  const std::string rest = " mail postfix/smtp[443]: " + kVerified;
  for (const std::string& line :
       {std::string(),
        std::string("Nov"),
        std::string("2026"),
        kVerified,
        " Nov 22 23:07:35" + rest,
        "nov 22 23:07:35" + rest,
        "ovD 22 23:07:35" + rest,
        " 22 23:07:35" + rest,
        "Nov 22 24:07:35" + rest,
        "Nov 22 23:07:3" + rest,
        "Nov 22 23:07" + rest,
        "2026-11-22 23:07:35" + rest,
        "2026-13-22T23:07:35Z" + rest,
        "2026-02-30T23:07:35Z" + rest,
        "2026-11-22T23:07:35" + rest,
        "2026-11-22T23:07:35.Z" + rest,
        "2026-11-22T23:07:35+0000" + rest,
        "Nov 22 23:07:35 postfix/smtp[443]: " + kVerified,
        "Nov 22 23:07:35 mail postfix/smtpd[443]: " + kVerified,
        "Nov 22 23:07:35 mail x postfix/smtp[443]: " + kVerified,
        "Nov 22 23:07:35 mail postfix/smtp: " + kVerified,
        "Nov 22 23:07:35 mail postfix/smtp[]: " + kVerified,
        "Nov 22 23:07:35 mail postfix/smtp[4294967296]: " + kVerified,
        "Nov 22 23:07:35 mail postfix/smtp[1]:" + kVerified,
        "Nov 22 23:07:35" + rest + std::string(kMaxLogLine, ' ')})
    EXPECT_FALSE(ParseMaillogLine(line, kNow)) << line.substr(0, 200);
}

}  // namespace
}  // namespace postern
