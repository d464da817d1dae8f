// ReportQueue: mails that came back, and the addresses that get none for it.

#include <algorithm>
#include <map>

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

// The mail addresses among `uris` that may be `address`.
std::string AddressAmong(const std::vector<std::string>& uris,
                         const std::string& address) {
  std::vector<std::string> mailed;
  for (const std::string& uri : uris)
    if (const auto destination = ParseDestination(uri))
      if (const auto* mail = std::get_if<MailAddress>(&*destination))
        mailed.push_back(ToLowerAscii(mail->address));
  const auto found =
      std::find(mailed.begin(), mailed.end(), ToLowerAscii(address));
  if (found != mailed.end()) return *found;
  // It may have been forwarded by its domain.
  return address.empty() && mailed.size() == 1 ? mailed.front() : "";
}

}  // namespace

Result<bool> ReportQueue::NoteBounce(const std::string& report_id,
                                     const std::string& address, WallTime now,
                                     const std::string& reason) {
  Statement handed_over(db_.get(),
                        "SELECT d.destination FROM deliveries d JOIN reports r"
                        " ON r.number = d.report WHERE r.id = ? AND"
                        " d.by_mail = 1 AND d.state = 1 AND d.finished >= ?");
  handed_over.Bind(1, report_id)
      .Bind(2, (now - kComesBackIn).time_since_epoch().count());
  std::vector<std::string> uris;
  while (handed_over.Step()) uris.push_back(handed_over.Text(0));
  if (handed_over.failed()) return Failed("read");
  const std::string who = AddressAmong(uris, address);
  if (who.empty()) return false;
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
