#include "policy-daemon/maillog_line.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "common/domain_name.h"
#include "common/ip_address.h"
#include "common/text.h"

namespace postern {
namespace {

using Kind = SmtpEvent::Kind;
using Trust = SmtpEvent::Trust;
using std::chrono::microseconds;
using std::chrono::seconds;

constexpr size_t kMaxName = 255;
constexpr size_t kMaxReason = 255;

// Takes text off the front, piece by piece. A piece that is not there leaves
// everything as it is.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  std::string_view rest() const { return rest_; }
  bool AtEnd() const { return rest_.empty(); }

  bool Skip(std::string_view words) {
    if (!rest_.starts_with(words)) return false;
    rest_.remove_prefix(words.size());
    return true;
  }
  // The longest run of characters that `is` takes; "" for none.
  template <class Is>
  std::string_view Run(Is is) {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is);
    const auto run = rest_.substr(0, static_cast<size_t>(end - rest_.begin()));
    rest_.remove_prefix(run.size());
    return run;
  }
  // Digits, of a number within [0, max].
  std::optional<uint64_t> Number(uint64_t max) {
    return ParseUint(Run(IsAsciiDigit), max);
  }
  // Exactly `digits` digits.
  std::optional<int> Digits(size_t digits, int max) {
    const auto value =
        ParseUint(rest_.substr(0, digits), static_cast<uint64_t>(max));
    if (rest_.size() < digits || !value) return std::nullopt;
    rest_.remove_prefix(digits);
    return static_cast<int>(*value);
  }

 private:
  std::string_view rest_;
};

bool IsHostCharacter(char c) {
  return IsAsciiAlnum(c) || c == '.' || c == '-' || c == '_' || c == ':';
}

// "H[A]"
bool TakeHost(Cursor& cursor, LogPeer& peer) {
  const auto host = cursor.Run(IsHostCharacter);
  if (host.empty() || host.size() > kMaxName || !cursor.Skip("[")) return false;
  const auto address = IpAddress::Parse(cursor.Run(
      [](char c) { return IsAsciiAlnum(c) || c == '.' || c == ':'; }));
  if (!address || !cursor.Skip("]")) return false;
  peer.host = NormalizeDomain(host).value_or("");
  peer.address = address->ToString();
  return true;
}

// "H[A]:P"
bool TakePeer(Cursor& cursor, LogPeer& peer) {
  if (!TakeHost(cursor, peer) || !cursor.Skip(":")) return false;
  const auto port = cursor.Number(65535);
  if (!port) return false;
  peer.port = static_cast<uint16_t>(*port);
  return true;
}

// Short ones are upper-case hex, long ones have no vowels: "warning" is none.
std::string_view TakeQueueId(Cursor& cursor) {
  return cursor.Run([](char c) {
    return IsAsciiAlnum(c) &&
           std::string_view("aeiou").find(c) == std::string_view::npos;
  });
}

struct CertificateProblem {
  std::string_view words;
  ResultType type;
  const char* reason;
  bool whole;  // nothing follows but what is named in `words`
};
// The types are those that Postfix 3.10 reports. Which of two it was, the
// issuer is unknown or the root is not ours, the log does not tell.
constexpr std::array<CertificateProblem, 8> kProblems = {{
    {"self-signed certificate", ResultType::kValidationFailure,
     "self-signed_certificate", true},
    {"untrusted issuer ", ResultType::kValidationFailure, "untrusted_issuer",
     false},
    {"not trusted by local or TLSA policy", ResultType::kCertificateNotTrusted,
     "certificate_not_trusted", true},
    {"certificate has expired", ResultType::kCertificateExpired,
     "certificate_has_expired", true},
    {"certificate not yet valid", ResultType::kValidationFailure,
     "certificate_is_not_yet_valid", true},
    {"not designated for use as a server certificate",
     ResultType::kValidationFailure, "unsuitable_certificate_purpose", true},
    {"not designated for use as a CA certificate",
     ResultType::kValidationFailure, "unsuitable_certificate_purpose", true},
    {"certificate chain longer than limit(", ResultType::kValidationFailure,
     "certificate_chain_too_long", false},
}};

// "62:hostname mismatch": OpenSSL's number of the error and its text.
bool ParseOpensslError(Cursor cursor, SmtpEvent& event) {
  const auto number = cursor.Number(9999);
  if (!number || !cursor.Skip(":")) return false;
  const auto text = cursor.rest();
  const bool printable = std::all_of(
      text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (text.empty() || text.size() > kMaxReason || !printable) return false;
  constexpr uint64_t kHostnameMismatch = 62;
  constexpr uint64_t kDaneNoMatch = 65;
  event.result_type =
      *number == kHostnameMismatch ? ResultType::kCertificateHostMismatch
      : *number == kDaneNoMatch    ? ResultType::kCertificateNotTrusted
                                   : ResultType::kValidationFailure;
  event.reason = text;
  std::replace(event.reason.begin(), event.reason.end(), ' ', '_');
  return true;
}

bool ParseCertificateProblem(Cursor cursor, SmtpEvent& event) {
  for (const CertificateProblem& problem : kProblems) {
    if (!cursor.Skip(problem.words)) continue;
    event.result_type = problem.type;
    event.reason = problem.reason;
    return !problem.whole || cursor.AtEnd();
  }
  return cursor.Skip("num=") && ParseOpensslError(cursor, event);
}

// Each of the parsers below: nullopt where the message does not begin with
// its words; kUnknown where it does, and goes on otherwise.

std::optional<SmtpEvent> ParseCertificateFailed(Cursor cursor) {
  // Whose it is: the server's, or that of an authority in the chain.
  if (!cursor.Skip("server ")) cursor.Skip("CA ");
  if (!cursor.Skip("certificate verification failed for ")) return std::nullopt;
  SmtpEvent event;
  if (TakePeer(cursor, event.peer) && cursor.Skip(": ") &&
      ParseCertificateProblem(cursor, event))
    event.kind = Kind::kCertificateFailed;
  return event;
}

std::optional<SmtpEvent> ParseHandshakeOver(Cursor cursor) {
  constexpr std::array<std::string_view, 4> kTrusts = {"Anonymous", "Untrusted",
                                                       "Trusted", "Verified"};
  const auto word = cursor.Run(IsAsciiAlpha);
  if (!cursor.Skip(" TLS connection ")) return std::nullopt;
  const auto* trust = std::find(kTrusts.begin(), kTrusts.end(), word);
  SmtpEvent event;
  const bool reused = cursor.Skip("reused to ");
  if (trust == kTrusts.end() || (!reused && !cursor.Skip("established to ")) ||
      !TakePeer(cursor, event.peer) || !cursor.Skip(": "))
    return event;
  event.kind = reused ? Kind::kReused : Kind::kEstablished;
  event.trust = static_cast<Trust>(trust - kTrusts.begin());
  return event;
}

std::optional<SmtpEvent> ParseHandshakeFailed(Cursor cursor) {
  if (!cursor.Skip("SSL_connect error to ")) return std::nullopt;
  SmtpEvent event;
  if (!TakePeer(cursor, event.peer) || !cursor.Skip(": ")) return event;
  event.kind = Kind::kHandshakeFailed;
  event.reason = "tls-handshake-failure";
  return event;
}

std::optional<SmtpEvent> ParseResumedUntrusted(Cursor cursor) {
  SmtpEvent event;
  if (!TakePeer(cursor, event.peer) ||
      !cursor.Skip(": re-using session with untrusted "))
    return std::nullopt;
  event.kind = Kind::kCertificateFailed;
  event.result_type = ResultType::kCertificateNotTrusted;
  return event;
}

std::optional<SmtpEvent> ParseWarning(Cursor cursor) {
  if (!cursor.Skip("warning: ")) return std::nullopt;
  SmtpEvent event;
  if (cursor.Skip("TLS policy lookup for ")) {
    // "NEXT-HOP/HOST: ": neither has a blank.
    cursor.Run([](char c) { return c != ' '; });
    if (!cursor.Skip(" TLSA lookup error for ")) return std::nullopt;
    event.kind = Kind::kTlsaLookupFailed;
    return event;
  }
  if (!TakePeer(cursor, event.peer) ||
      !cursor.Skip(": all TLSA records unusable"))
    return std::nullopt;
  cursor.Skip(", fallback to unauthenticated TLS");
  if (!cursor.AtEnd()) return event;
  event.kind = Kind::kTlsaUnusable;
  event.result_type = ResultType::kTlsaInvalid;
  event.reason = "all-TLSA-records-unusable";
  return event;
}

// The four texts for which TLS is to blame.
GivenUp ParseGivenUp(std::string_view text, LogPeer& peer) {
  if (text == "Server certificate not verified") return GivenUp::kNotVerified;
  if (text == "Cannot start TLS: handshake failure") return GivenUp::kHandshake;
  Cursor cursor(text);
  LogPeer named;
  if (cursor.Skip("TLS is required, but was not offered by host ")) {
    if (!TakeHost(cursor, named) || !cursor.AtEnd()) return GivenUp::kNot;
  } else {
    // Postfix's words where the reply's code is no error's.
    cursor.Skip("Protocol error: ");
    if (!cursor.Skip("TLS is required, but host ") ||
        !TakeHost(cursor, named) || !cursor.Skip(" refused to start TLS: "))
      return GivenUp::kNot;
  }
  named.port = peer.port;
  peer = named;
  return GivenUp::kNoStarttls;
}

// "<\"a b\"@example.com>": what stands in quotes ends nothing.
bool SkipAddress(Cursor& cursor) {
  if (!cursor.Skip("<")) return false;
  bool quoted = false, escaped = false;
  cursor.Run([&](char c) {
    if (!quoted && c == '>') return false;
    if (c == '"' && !escaped) quoted = !quoted;
    escaped = quoted && c == '\\' && !escaped;
    return true;
  });
  return cursor.Skip(">");
}

// "to=<a@b>, relay=H[A]:P, delay=1, delays=0/0/1/0, dsn=4.7.5,
// status=deferred (TEXT)"
bool ParseDelivery(Cursor& cursor, SmtpEvent& event) {
  if (!cursor.Skip("to=") || !SkipAddress(cursor)) return false;
  if (cursor.Skip(", orig_to=") && !SkipAddress(cursor)) return false;
  if (!cursor.Skip(", relay=")) return false;
  if (!cursor.Skip("none") && !TakePeer(cursor, event.peer)) return false;
  const auto is_value = [](char c) {
    return IsAsciiAlnum(c) || c == '.' || c == '/';
  };
  while (!cursor.Skip(", status=")) {
    if (!cursor.Skip(", ") ||
        cursor.Run([](char c) { return IsAsciiAlpha(c) || c == '_'; }).empty())
      return false;
    if (!cursor.Skip("=") || cursor.Run(is_value).empty()) return false;
  }
  const auto status = cursor.Run(IsAsciiAlpha);
  if (!cursor.Skip(" (") || !cursor.rest().ends_with(')')) return false;
  const auto text = cursor.rest().substr(0, cursor.rest().size() - 1);
  // What a server says of a message that it took is all its own.
  if (status != "sent") event.given_up = ParseGivenUp(text, event.peer);
  return true;
}

std::optional<SmtpEvent> ParseDeliveryOrGivenUp(Cursor cursor) {
  SmtpEvent event;
  event.queue_id = TakeQueueId(cursor);
  if (event.queue_id.empty() || event.queue_id.size() > kMaxName ||
      !cursor.Skip(": "))
    return std::nullopt;
  if (cursor.rest().starts_with("to=<")) {
    if (ParseDelivery(cursor, event)) event.kind = Kind::kDelivered;
    return event;
  }
  event.given_up = ParseGivenUp(cursor.rest(), event.peer);
  if (event.given_up == GivenUp::kNot) return std::nullopt;
  event.kind = Kind::kHostGivenUp;
  return event;
}

struct Stamp {
  LogTime at;
  microseconds precision;
};

// "2026-11-22T13:05:07.123456+00:00 "
std::optional<Stamp> TakeRfc3339(Cursor& cursor) {
  const auto year = cursor.Digits(4, 9999);
  if (!year || !cursor.Skip("-")) return std::nullopt;
  const auto month = cursor.Digits(2, 12);
  if (!month || !cursor.Skip("-")) return std::nullopt;
  const auto day = cursor.Digits(2, 31);
  if (!day || !cursor.Skip("T")) return std::nullopt;
  const auto hour = cursor.Digits(2, 23);
  if (!hour || !cursor.Skip(":")) return std::nullopt;
  const auto minute = cursor.Digits(2, 59);
  if (!minute || !cursor.Skip(":")) return std::nullopt;
  const auto second = cursor.Digits(2, 60);
  if (!second) return std::nullopt;
  const std::chrono::year_month_day date{
      std::chrono::year(*year),
      std::chrono::month(static_cast<unsigned>(*month)),
      std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;

  microseconds precision = seconds(1);
  microseconds fraction{0};
  if (cursor.Skip(".")) {
    const auto digits = cursor.Run(IsAsciiDigit);
    if (digits.empty()) return std::nullopt;
    for (size_t i = 0; i < std::min<size_t>(digits.size(), 6); ++i) {
      precision /= 10;
      fraction += precision * (digits[i] - '0');
    }
  }
  std::chrono::minutes offset{0};
  if (!cursor.Skip("Z")) {
    const bool east = cursor.Skip("+");
    if (!east && !cursor.Skip("-")) return std::nullopt;
    const auto hours = cursor.Digits(2, 23);
    if (!hours || !cursor.Skip(":")) return std::nullopt;
    const auto minutes = cursor.Digits(2, 59);
    if (!minutes) return std::nullopt;
    offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
    if (!east) offset = -offset;
  }
  if (!cursor.Skip(" ")) return std::nullopt;
  return Stamp{std::chrono::sys_days(date) + std::chrono::hours(*hour) +
                   std::chrono::minutes(*minute) + seconds(*second) + fraction -
                   offset,
               precision};
}

// "Nov  2 13:05:07 ", without what it means: see LocalTime().
std::optional<std::tm> TakeTraditional(Cursor& cursor) {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto name = cursor.Run(IsAsciiAlpha);
  const auto month = kMonths.find(name);
  if (name.size() != 3 || month == kMonths.npos || month % 3 != 0 ||
      !cursor.Skip(" "))
    return std::nullopt;
  std::tm time{};
  time.tm_mon = static_cast<int>(month / 3);
  const auto day = cursor.Digits(cursor.Skip(" ") ? 1 : 2, 31);
  if (!day || !cursor.Skip(" ")) return std::nullopt;
  const auto hour = cursor.Digits(2, 23);
  if (!hour || !cursor.Skip(":")) return std::nullopt;
  const auto minute = cursor.Digits(2, 59);
  if (!minute || !cursor.Skip(":")) return std::nullopt;
  const auto second = cursor.Digits(2, 60);
  if (!second || !cursor.Skip(" ")) return std::nullopt;
  time.tm_mday = *day;
  time.tm_hour = *hour;
  time.tm_min = *minute;
  time.tm_sec = *second;
  return time;
}

// In the year that brings it nearest to `now`.
Stamp LocalTime(std::tm time, LogTime now) {
  const std::time_t now_seconds =
      std::chrono::system_clock::to_time_t(std::chrono::floor<seconds>(now));
  std::tm now_local{};
  localtime_r(&now_seconds, &now_local);
  LogTime best{};
  for (int year = now_local.tm_year - 1; year <= now_local.tm_year + 1;
       ++year) {
    std::tm guess = time;
    guess.tm_year = year;
    guess.tm_isdst = -1;
    const LogTime at{seconds(std::mktime(&guess))};
    if (year == now_local.tm_year - 1 ||
        std::chrono::abs(at - now) < std::chrono::abs(best - now))
      best = at;
  }
  return {best, seconds(1)};
}

// What stands before a message: timestamp, host, "TAG[PID]: ".
struct Head {
  std::optional<Stamp> stamp;
  std::optional<std::tm> local;  // where there is no stamp
  std::string_view host;
  std::string_view tag;
  uint32_t pid = 0;
  std::string_view message;
};

std::optional<Head> ParseHead(std::string_view line) {
  Head head;
  Cursor cursor(line);
  if (!line.empty() && IsAsciiDigit(line.front()))
    head.stamp = TakeRfc3339(cursor);
  else
    head.local = TakeTraditional(cursor);
  if (!head.stamp && !head.local) return std::nullopt;
  const auto is_dark = [](char c) { return c > ' ' && c != 0x7f; };
  head.host = cursor.Run(is_dark);
  if (head.host.empty() || !cursor.Skip(" ")) return std::nullopt;
  head.tag = cursor.Run([&](char c) { return is_dark(c) && c != '['; });
  if (head.tag.empty() || !cursor.Skip("[")) return std::nullopt;
  const auto pid = cursor.Number(UINT32_MAX);
  if (!pid || !cursor.Skip("]: ")) return std::nullopt;
  head.pid = static_cast<uint32_t>(*pid);
  head.message = cursor.rest();
  return head;
}

}  // namespace

bool IsSmtpTag(std::string_view tag) {
  constexpr std::string_view kEnd = "/smtp";
  return tag.size() > kEnd.size() && tag.ends_with(kEnd);
}

std::optional<SmtpEvent> ParseSmtpMessage(std::string_view message) {
  if (message.size() > kMaxLogLine) return std::nullopt;
  const Cursor cursor(message);
  for (const auto parse :
       {ParseHandshakeOver, ParseCertificateFailed, ParseHandshakeFailed,
        ParseWarning, ParseDeliveryOrGivenUp, ParseResumedUntrusted})
    if (auto event = parse(cursor)) return event;
  return std::nullopt;
}

bool IsMaillogForm(std::string_view line) {
  return line.size() <= kMaxLogLine && ParseHead(line).has_value();
}

std::optional<MaillogLine> ParseMaillogLine(std::string_view line,
                                            LogTime now) {
  if (line.size() > kMaxLogLine) return std::nullopt;
  const auto head = ParseHead(line);
  if (!head || !IsSmtpTag(head->tag)) return std::nullopt;
  auto event = ParseSmtpMessage(head->message);
  if (!event) return std::nullopt;
  MaillogLine result;
  result.host = head->host;
  result.pid = head->pid;
  // The calendar is dear: last, where the line is of interest.
  const Stamp stamp = head->stamp ? *head->stamp : LocalTime(*head->local, now);
  result.at = stamp.at;
  result.precision = stamp.precision;
  result.event = std::move(*event);
  return result;
}

}  // namespace postern
