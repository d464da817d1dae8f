// A line of Postfix's log, as an event of an smtp(8) process: for Postfix
// before 3.10, which tells nobody else how its sessions went.
//
//   Nov 22 13:05:07 mail postfix/smtp[443]: Verified TLS connection
//   established to mx.example.com[192.0.2.1]:25: TLSv1.3 with cipher ...
//
// Formats: traditional timestamps (local time without a year, to the second),
// RFC 3339 ones, the fields of the systemd journal. The tag is syslog_name, any
// text, and "/smtp": postfix/smtp, postfix/relay/smtp, mx-out/smtp.
//
// Whoever runs an MX host chooses what much of the log says. So a message is
// read from its first byte on, through fixed words of Postfix's, and never
// beyond the first byte that may be a stranger's:
//
//   message                                        read up to
//   Verified TLS connection established to H[A]:P: here (the rest: ciphers)
//   [server ]certificate verification failed for H[A]:P: REASON
//                                                  the end, or "untrusted
//                                                  issuer": then a certificate
//   warning: H[A]:P: all TLSA records unusable     the end
//   SSL_connect error to H[A]:P:                   here
//   H[A]:P: re-using session with untrusted        here
//   QID: TLS is required, but was not offered by host H[A]         the end
//   QID: TLS is required, but host H[A] refused to start TLS:      here
//   QID: Cannot start TLS: handshake failure                       the end
//   QID: Server certificate not verified                           the end
//   QID: to=<...>, relay=H[A]:P, ..., status=deferred (one of the four)
//
// Remote replies come behind their own words ("host H[A] said: "), so none of
// these can begin with one; a host's name has no blanks. Postfix makes control
// characters "?": a reply cannot begin a line.
//
// Limits: with info_log_address_format=internal (not the default) a recipient
// with ">, " in his local part makes his line ambiguous. kMaxLogLine.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/outcome.h"

namespace postern {

inline constexpr size_t kMaxLogLine = 16 * 1024;  // Postfix's: some 2 KiB

using LogTime = std::chrono::sys_time<std::chrono::microseconds>;

// "mx.example.com[192.0.2.1]:25"
struct LogPeer {
  std::string host;     // normal form; "": none, the next-hop is an address
  std::string address;  // in the form of RFC 5952
  uint16_t port = 0;    // 0: not told

  friend bool operator==(const LogPeer&, const LogPeer&) = default;
};

// Why Postfix gave a host up, as far as its own words tell.
enum class GivenUp {
  kNot,  // or for another reason
  kNoStarttls,
  kHandshake,
  kNotVerified,
};

struct SmtpEvent {
  enum class Kind {
    kEstablished,        // the handshake is over; see `trust`
    kReused,             // an old connection serves another delivery
    kCertificateFailed,  // `result_type`, `reason`; does not matter at `may`
    kTlsaUnusable,       // all records of the host
    kHandshakeFailed,
    kTlsaLookupFailed,  // no connection is made
    kHostGivenUp,       // `given_up`; another one is tried
    kDelivered,         // a delivery is over for a recipient, well or not
    kUnknown,           // begins like one of these
  };
  enum class Trust { kAnonymous, kUntrusted, kTrusted, kVerified };

  Kind kind = Kind::kUnknown;
  LogPeer peer;
  Trust trust = Trust::kAnonymous;
  ResultType result_type = ResultType::kValidationFailure;
  std::string reason;  // as Postfix 3.10 would report it
  std::string queue_id;
  GivenUp given_up = GivenUp::kNot;

  friend bool operator==(const SmtpEvent&, const SmtpEvent&) = default;
};

struct MaillogLine {
  uint32_t pid = 0;
  // When it was dated: at `at` or up to (not including) `precision` later.
  LogTime at{};
  std::chrono::microseconds precision{1};
  SmtpEvent event;
  std::string host;  // that wrote the line; "": not told
  // It may have been written so long before it was dated.
  std::chrono::microseconds late{0};

  friend bool operator==(const MaillogLine&, const MaillogLine&) = default;
};

// "postfix/smtp" and the like.
bool IsSmtpTag(std::string_view tag);

// Whether the timestamp, host and tag of a line are in a form that
// ParseMaillogLine() reads, whoever wrote it and whatever it says.
bool IsMaillogForm(std::string_view line);

// What stands behind "postfix/smtp[443]: "; nullopt: of no interest.
std::optional<SmtpEvent> ParseSmtpMessage(std::string_view message);

// A line of a file. `now` tells the year that traditional timestamps lack.
std::optional<MaillogLine> ParseMaillogLine(std::string_view line, LogTime now);

}  // namespace postern
