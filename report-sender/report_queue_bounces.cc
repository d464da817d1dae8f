// ReportQueue: mails that came back, and the addresses that get none for it.

#include <algorithm>
#include <map>

#include <openssl/hmac.h>

#include "common/text.h"

#include "report-sender/report_queue.h"

namespace postern {
namespace {

using sqlite::Statement;
using std::chrono::days;

// Postfix gives a mail up after five days.
constexpr days kComesBackIn{10};
// Of an address, so long is told of.
constexpr days kRemembered{90};
constexpr size_t kMaxReason = 200;
constexpr size_t kTokenBytes = 16;
// Between the report-id's first part, which is hexadecimal, and the token.
constexpr char kBeforeToken = '.';

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : bytes)
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  return hex;
}

// The report-id in a Message-ID; "": there is none.
std::string ReportIdIn(const std::string& message_id) {
  const size_t dot = message_id.find(kBeforeToken);
  const size_t at = message_id.find('@');
  if (dot == message_id.npos || at == message_id.npos || dot > at) return "";
  return message_id.substr(0, dot) + message_id.substr(at);
}

}  // namespace

Status ReportQueue::ReadSecret() {
  const auto read = [this] {
    Statement row(db_.get(), "SELECT bytes FROM secret");
    if (row.Step()) secret_ = row.Text(0);
    return !row.failed();
  };
  if (!read()) return Failed("read");
  if (!secret_.empty()) return Done{};
  // Another process may be the first.
  if (sqlite::Execute(db_.get(),
                      "INSERT OR IGNORE INTO secret VALUES(1,"
                      " randomblob(32))") != SQLITE_OK ||
      !read() || secret_.empty())
    return Failed("write");
  return Done{};
}

std::string ReportQueue::MessageIdFor(const std::string& report_id,
                                      const std::string& address) const {
  const std::string text = report_id + '\0' + ToLowerAscii(address);
  unsigned char mac[EVP_MAX_MD_SIZE];
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac,
       nullptr);
  const std::string token =
      Hex({reinterpret_cast<const char*>(mac), kTokenBytes});
  std::string id = report_id;
  return id.insert(std::min(id.find('@'), id.size()), kBeforeToken + token);
}

Result<bool> ReportQueue::NoteBounce(const std::string& message_id,
                                     const std::string& address, WallTime now,
                                     const std::string& reason) {
  const std::string report_id = ReportIdIn(message_id);
  Statement handed_over(db_.get(),
                        "SELECT d.destination FROM deliveries d JOIN reports r"
                        " ON r.number = d.report WHERE r.id = ? AND"
                        " d.by_mail = 1 AND d.state = 1 AND d.finished >= ?");
  handed_over.Bind(1, report_id)
      .Bind(2, (now - kComesBackIn).time_since_epoch().count());
  // Who knows the Message-ID has seen the mail: a report-id can be guessed.
  std::string who;
  while (handed_over.Step()) {
    const auto destination = ParseDestination(handed_over.Text(0));
    const auto* mail =
        destination ? std::get_if<MailAddress>(&*destination) : nullptr;
    if (mail && MessageIdFor(report_id, mail->address) == message_id)
      who = ToLowerAscii(mail->address);
  }
  if (handed_over.failed()) return Failed("read");
  if (who.empty() || (!address.empty() && ToLowerAscii(address) != who))
    return false;
  const std::string day = FormatDay(DayOf(now));
  const std::string oldest = FormatDay(DayOf(now) - kRemembered);
  const std::string why = Printable(reason, kMaxReason);
  Statement note(db_.get(), "INSERT OR REPLACE INTO bounces VALUES(?, ?, ?)");
  const Status noted =
      Run("write", note.Bind(1, who).Bind(2, day).Bind(3, why));
  if (!noted) return noted.error();
  Statement forget(db_.get(),
                   "DELETE FROM bounces WHERE address = ? AND day < ?");
  const Status forgotten = Run("write", forget.Bind(1, who).Bind(2, oldest));
  if (!forgotten) return forgotten.error();
  return true;
}

Result<std::vector<PausedAddress>> ReportQueue::Paused(Day today) {
  // What is dated in the future, a wrong clock wrote.
  const std::string last = FormatDay(today + days(1));
  Statement row(db_.get(),
                "SELECT address, day, reason FROM bounces WHERE day <= ?"
                " ORDER BY address, day");
  row.Bind(1, last);
  struct Bounces {
    std::vector<Day> days;
    std::string reason;
  };
  std::map<std::string, Bounces> by_address;
  while (row.Step()) {
    Bounces& bounces = by_address[row.Text(0)];
    bounces.days.push_back(ParseDay(row.Text(1)).value_or(Day()));
    bounces.reason = row.Text(2);
  }
  if (row.failed()) return Failed("read");
  std::vector<PausedAddress> paused;
  for (const auto& [address, bounces] : by_address) {
    const Day newest = bounces.days.back();
    const auto count =
        std::count_if(bounces.days.begin(), bounces.days.end(),
                      [&](Day day) { return day > newest - kPause; });
    if (count >= kBounceDays && today < newest + kPause)
      paused.push_back({address, newest + kPause, bounces.reason});
  }
  return paused;
}

Result<bool> ReportQueue::Resume(const std::string& address) {
  const std::string who = ToLowerAscii(address);
  Statement row(db_.get(), "DELETE FROM bounces WHERE address = ?");
  const Status done = Run("write", row.Bind(1, who));
  if (!done) return done.error();
  return sqlite3_changes(db_.get()) > 0;
}

}  // namespace postern
