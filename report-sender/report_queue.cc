#include "report-sender/report_queue.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

namespace postern {
namespace {

using sqlite::Statement;

constexpr int kBusyTimeoutMs = 10000;
constexpr int kBusyPauseMs = 10;
constexpr int64_t kApplicationId = 0x504f5352;  // "POSR"
constexpr int64_t kVersion = 1;
constexpr size_t kMinIdPrefix = 6;
// Further than anything is put off: a clock was wrong when it was written.
constexpr Seconds kFar{9 * 86400};

// Times are seconds since 1970 (UTC), days "2026-11-22".
constexpr char kSchema[] = R"(
CREATE TABLE days(
  day TEXT PRIMARY KEY, at INTEGER NOT NULL, lines INTEGER NOT NULL,
  skipped INTEGER NOT NULL, lost INTEGER NOT NULL,
  domains INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE identities(
  number INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  contact TEXT NOT NULL, domain TEXT NOT NULL, instance TEXT NOT NULL,
  sender TEXT NOT NULL,
  UNIQUE(organization, contact, domain, instance, sender));
CREATE TABLE reports(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  identity INTEGER NOT NULL REFERENCES identities, day TEXT NOT NULL,
  domain TEXT NOT NULL, successful INTEGER NOT NULL, failed INTEGER NOT NULL,
  date INTEGER NOT NULL, text TEXT, gzip BLOB);
-- By whatever name we reported: a domain is told of a day once.
CREATE UNIQUE INDEX reports_of_day ON reports(day, domain);
-- state: 0 waiting, 1 delivered, 2 given up, 3 dropped.
CREATE TABLE deliveries(
  number INTEGER PRIMARY KEY,
  report INTEGER NOT NULL REFERENCES reports ON DELETE CASCADE,
  destination TEXT NOT NULL, host TEXT NOT NULL, by_mail INTEGER NOT NULL,
  state INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  first INTEGER, next INTEGER, finished INTEGER,
  reason TEXT NOT NULL DEFAULT '', UNIQUE(report, destination));
CREATE INDEX deliveries_due ON deliveries(next) WHERE state = 0;
CREATE TABLE mails(
  day TEXT NOT NULL, domain TEXT NOT NULL, mails INTEGER NOT NULL,
  PRIMARY KEY(day, domain)) WITHOUT ROWID;
)";

// Mails that came back. The address is in lower case.
constexpr char kBouncesSchema[] = R"(
CREATE TABLE IF NOT EXISTS bounces(
  address TEXT NOT NULL, day TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY(address, day)) WITHOUT ROWID;
-- Of this queue, random: what the Message-IDs of its mails are made with.
CREATE TABLE IF NOT EXISTS secret(
  number INTEGER PRIMARY KEY CHECK(number = 1), bytes BLOB NOT NULL);
)";

constexpr auto kWaiting = static_cast<int64_t>(DeliveryState::kWaiting);
constexpr auto kDropped = static_cast<int64_t>(DeliveryState::kDropped);

int64_t ToInt(WallTime time) { return time.time_since_epoch().count(); }
// Within what can be told, whatever the file holds.
WallTime ToTime(int64_t seconds) {
  return WallTime(Seconds(std::clamp<int64_t>(seconds, 0, 253402300799)));
}

std::optional<WallTime> TimeOrNone(const Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return ToTime(row.Int(column));
}

Day DayIn(const Statement& row, int column) {
  return ParseDay(row.Text(column)).value_or(Day());
}

// SQLite does not wait by itself for others that have the file open meanwhile.
int UseWal(sqlite3* db) {
  int code = SQLITE_BUSY;
  for (int left = kBusyTimeoutMs; code == SQLITE_BUSY && left > 0;
       left -= kBusyPauseMs) {
    code = sqlite::Execute(db, "PRAGMA journal_mode = WAL");
    if (code == SQLITE_BUSY) sqlite3_sleep(kBusyPauseMs);
  }
  return code;
}

std::string HostOf(const Destination& destination) {
  if (const auto* url = std::get_if<HttpsUrl>(&destination)) return url->host;
  const std::string& address = std::get<MailAddress>(destination).address;
  return address.substr(address.rfind('@') + 1);
}

}  // namespace

const char* DeliveryStateName(DeliveryState state) {
  static constexpr std::array kNames = {"waiting", "delivered", "given-up",
                                        "dropped"};
  return kNames[static_cast<size_t>(state)];
}

Result<std::unique_ptr<ReportQueue>> ReportQueue::Open(
    const std::string& path) {
  return OpenWith(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

Result<std::unique_ptr<ReportQueue>> ReportQueue::OpenExisting(
    const std::string& path) {
  std::error_code unknown;
  if (!std::filesystem::exists(path, unknown) && !unknown)
    return std::unique_ptr<ReportQueue>();
  return OpenWith(path, SQLITE_OPEN_READWRITE);
}

Result<std::unique_ptr<ReportQueue>> ReportQueue::OpenWith(
    const std::string& path, int flags) {
  std::unique_ptr<ReportQueue> queue(new ReportQueue(path));
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &opened,
                                   flags | SQLITE_OPEN_NOMUTEX, nullptr);
  queue->db_.reset(opened);
  if (code != SQLITE_OK) return queue->Failed("open");
  const Status prepared = queue->Prepare();
  if (!prepared) return prepared.error();
  const Status secret = queue->ReadSecret();
  if (!secret) return secret.error();
  return queue;
}

Status ReportQueue::Prepare() {
  sqlite3* const db = db_.get();
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  // Before anything is written: it may be somebody else's.
  // At one time: another process may be making it.
  const Error foreign{path_ + " is no queue of reports; move it away"};
  sqlite::Execute(db, "BEGIN");
  const auto application = sqlite::Ask(db, "PRAGMA application_id");
  const auto tables = sqlite::Ask(db, "SELECT count(*) FROM sqlite_master");
  const auto version = sqlite::Ask(db, "PRAGMA user_version");
  if (sqlite3_errcode(db) == SQLITE_NOTADB) return foreign;
  if (!application || !tables || !version) return Failed("read");
  sqlite::Execute(db, "COMMIT");
  const bool is_new = *tables == 0 && *application == 0;
  if (!is_new && *application != kApplicationId) return foreign;
  if (*version > kVersion)
    return Error{path_ + " is of a newer version of Postern; install that"};
  // FULL: a commit is synced.
  if (UseWal(db) != SQLITE_OK ||
      sqlite::Execute(db,
                      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;") !=
          SQLITE_OK)
    return Failed("use");
  if (!is_new)
    // Of later make; earlier versions do not mind it.
    return sqlite::Execute(db, kBouncesSchema) == SQLITE_OK
               ? Status(Done{})
               : Status(Failed("use"));
  chmod(path_.c_str(), 0640);
  const std::string make =
      std::string("BEGIN IMMEDIATE;") + kSchema + kBouncesSchema +
      "PRAGMA application_id = " + std::to_string(kApplicationId) +
      ";PRAGMA user_version = " + std::to_string(kVersion) + ";COMMIT;";
  if (sqlite::Execute(db, make.c_str()) == SQLITE_OK) return Done{};
  const Error failed = Failed("make");
  sqlite::Execute(db, "ROLLBACK");
  // Another process may have been the first.
  if (sqlite::Ask(db, "PRAGMA user_version") == kVersion) return Done{};
  return failed;
}

Error ReportQueue::Failed(const std::string& doing) const {
  std::string message = "cannot " + doing + " the queue of reports " + path_ +
                        ": " + sqlite3_errmsg(db_.get());
  if (sqlite::IsCorrupt(sqlite3_errcode(db_.get())))
    message +=
        "; check the disk, and move the file away: what waits in it is lost, "
        "and the last three days are reported once more";
  return Error{message};
}

Status ReportQueue::Run(const std::string& doing, Statement& statement) const {
  while (statement.Step()) {
  }
  if (statement.failed()) return Failed(doing);
  return Done{};
}

template <class Work>
Status ReportQueue::Transact(const std::string& doing, Work work) {
  // Also where `work` throws.
  struct RollBack {
    sqlite3* db;
    bool committed = false;
    ~RollBack() {
      if (!committed) sqlite::Execute(db, "ROLLBACK");
    }
  };
  if (sqlite::Execute(db_.get(), "BEGIN IMMEDIATE") != SQLITE_OK)
    return Failed(doing);
  RollBack roll_back{db_.get()};
  const Status done = work();
  if (!done) return done;
  roll_back.committed = sqlite::Execute(db_.get(), "COMMIT") == SQLITE_OK;
  if (!roll_back.committed) return Failed(doing);
  return Done{};
}

Result<bool> ReportQueue::TakeDelivering() {
  if (lock_ >= 0) return true;
  const std::string path = path_ + ".lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return Error{"cannot open " + path + ": " + std::strerror(errno)};
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return false;
  }
  lock_ = fd;
  return true;
}

Result<bool> ReportQueue::IsClosed(Day day, WallTime now) {
  const std::string text = FormatDay(day);
  Statement row(db_.get(), "SELECT 1 FROM days WHERE day = ? AND at <= ?");
  const bool found = row.Bind(1, text).Bind(2, ToInt(now)).Step();
  if (row.failed()) return Failed("read");
  return found;
}

Result<bool> ReportQueue::HadOutcomes() {
  Statement row(db_.get(), "SELECT 1 FROM days WHERE lines > 0 LIMIT 1");
  const bool found = row.Step();
  if (row.failed()) return Failed("read");
  return found;
}

Result<int64_t> ReportQueue::IdentityNumber(const Identity& identity) {
  const Submitter& who = identity.submitter;
  Statement make(db_.get(),
                 "INSERT OR IGNORE INTO identities(organization, contact,"
                 " domain, instance, sender) VALUES(?, ?, ?, ?, ?)");
  Statement find(db_.get(),
                 "SELECT number FROM identities WHERE organization = ? AND"
                 " contact = ? AND domain = ? AND instance = ? AND sender = ?");
  for (Statement* statement : {&make, &find})
    statement->Bind(1, who.organization_name)
        .Bind(2, who.contact_info)
        .Bind(3, who.domain)
        .Bind(4, who.instance)
        .Bind(5, identity.sender);
  const Status made = Run("write", make);
  if (!made) return made.error();
  if (!find.Step()) return Failed("read");
  return find.Int(0);
}

Status ReportQueue::Add(std::span<const NewReport> reports,
                        const Identity& identity, WallTime now) {
  return Transact("write", [&]() -> Status {
    const auto number = IdentityNumber(identity);
    if (!number) return number.error();
    Statement report(db_.get(),
                     "INSERT OR IGNORE INTO reports(id, identity, day, domain,"
                     " successful, failed, date, text, gzip)"
                     " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)");
    Statement delivery(db_.get(),
                       "INSERT INTO deliveries(report, destination, host,"
                       " by_mail, next, state, finished, reason)"
                       " VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
    for (const NewReport& one : reports) {
      const std::string id = ReportId(one.day, one.domain, identity.submitter);
      const std::string day = FormatDay(one.day);
      report.Reset();
      report.Bind(1, id)
          .Bind(2, *number)
          .Bind(3, day)
          .Bind(4, one.domain)
          .Bind(5, static_cast<int64_t>(one.successful))
          .Bind(6, static_cast<int64_t>(one.failed))
          .Bind(7, ToInt(now))
          .Bind(8, one.text)
          .BindBlob(9, one.gzip);
      const Status added = Run("write", report);
      if (!added) return added;
      if (sqlite3_changes(db_.get()) == 0) continue;  // it is there
      const int64_t report_number = sqlite3_last_insert_rowid(db_.get());
      for (const NewReport::To& to : one.to) {
        const std::string uri = DestinationUri(to.destination);
        const std::string host = HostOf(to.destination);
        // Whoever has looked until now does not look behind it again.
        const WallTime next = std::max(to.not_before, now);
        delivery.Reset();
        delivery.Bind(1, report_number)
            .Bind(2, uri)
            .Bind(3, host)
            .Bind(4, std::holds_alternative<MailAddress>(to.destination))
            .Bind(8, to.refused);
        if (to.refused.empty())
          delivery.Bind(5, ToInt(next)).Bind(6, kWaiting).BindNull(7);
        else
          delivery.BindNull(5).Bind(6, kDropped).Bind(7, ToInt(now));
        const Status destined = Run("write", delivery);
        if (!destined) return destined;
      }
    }
    return Done{};
  });
}

Status ReportQueue::Close(const ClosedDay& day) {
  const std::string text = FormatDay(day.day);
  Statement row(db_.get(),
                "INSERT INTO days VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO"
                " UPDATE SET at = excluded.at, lines = excluded.lines,"
                " skipped = excluded.skipped, lost = excluded.lost,"
                " domains = excluded.domains WHERE at > excluded.at");
  row.Bind(1, text)
      .Bind(2, ToInt(day.at))
      .Bind(3, static_cast<int64_t>(day.lines))
      .Bind(4, static_cast<int64_t>(day.skipped))
      .Bind(5, static_cast<int64_t>(day.lost))
      .Bind(6, static_cast<int64_t>(day.domains));
  return Run("write", row);
}

Result<uint64_t> ReportQueue::MailsTo(const std::string& domain, Day day) {
  const std::string text = FormatDay(day);
  Statement row(db_.get(),
                "SELECT mails FROM mails WHERE day = ? AND domain = ?");
  const bool found = row.Bind(1, text).Bind(2, domain).Step();
  if (row.failed()) return Failed("read");
  return found ? static_cast<uint64_t>(row.Int(0)) : 0;
}

Result<std::vector<DueDelivery>> ReportQueue::Due(WallTime after,
                                                  WallTime until) {
  Statement row(db_.get(),
                "SELECT number, host, by_mail, attempts FROM deliveries"
                " WHERE state = 0 AND (next BETWEEN ? AND ? OR next > ?)"
                " ORDER BY next");
  row.Bind(1, ToInt(after)).Bind(2, ToInt(until)).Bind(3, ToInt(until + kFar));
  std::vector<DueDelivery> due;
  while (row.Step())
    due.push_back({row.Int(0), row.Text(1), row.Int(2) != 0, row.Int(3) > 0});
  if (row.failed()) return Failed("read");
  return due;
}

Result<std::optional<Parcel>> ReportQueue::Load(int64_t number) {
  Statement row(db_.get(),
                "SELECT d.destination, d.attempts, d.first, r.day, r.domain,"
                " r.date, r.text, r.gzip, i.organization, i.contact, i.domain,"
                " i.instance, i.sender, r.id FROM deliveries d"
                " JOIN reports r ON r.number = d.report"
                " JOIN identities i ON i.number = r.identity"
                " WHERE d.number = ? AND d.state = 0");
  const bool found = row.Bind(1, number).Step();
  if (row.failed()) return Failed("read");
  if (!found) return std::optional<Parcel>();
  Parcel parcel;
  parcel.number = number;
  if (const auto destination = ParseDestination(row.Text(0)))
    parcel.destination = *destination;
  else
    parcel.unreadable =
        "the queue of reports " + path_ +
        " has a destination that is none: " + Printable(row.Text(0));
  parcel.attempts = static_cast<int>(row.Int(1));
  parcel.first_attempt = TimeOrNone(row, 2);
  parcel.day = DayIn(row, 3);
  parcel.domain = row.Text(4);
  parcel.date = ToTime(row.Int(5));
  parcel.text = row.Text(6);
  parcel.gzip = row.Text(7);
  parcel.identity = {{row.Text(8), row.Text(9), row.Text(10), row.Text(11)},
                     row.Text(12)};
  if (const auto* mail = std::get_if<MailAddress>(&parcel.destination))
    parcel.message_id = MessageIdFor(row.Text(13), mail->address);
  return std::optional(std::move(parcel));
}

Status ReportQueue::Settle(std::span<const EndedAttempt> attempts) {
  return Transact("write", [&]() -> Status {
    for (const auto& [parcel, settlement] : attempts) {
      const Status settled = SettleOne(parcel, settlement);
      if (!settled) return settled;
    }
    return Done{};
  });
}

Status ReportQueue::SettleOne(const Parcel& parcel,
                              const Settlement& settlement) {
  // What the operator dropped meanwhile stays dropped, unless it arrived.
  Statement row(db_.get(),
                "UPDATE deliveries SET state = ?1, attempts = attempts + 1,"
                " first = coalesce(first, ?2), next = ?3, finished = ?4,"
                " reason = ?5 WHERE number = ?6 AND (state = 0 OR ?1 = 1)");
  const bool waits = settlement.state == DeliveryState::kWaiting;
  row.Bind(1, static_cast<int64_t>(settlement.state))
      .Bind(2, ToInt(settlement.at))
      .Bind(5, settlement.reason)
      .Bind(6, parcel.number);
  if (waits)
    row.Bind(3, ToInt(settlement.again.value_or(settlement.at))).BindNull(4);
  else
    row.BindNull(3).Bind(4, ToInt(settlement.at));
  const Status settled = Run("write", row);
  if (!settled || settlement.state != DeliveryState::kDelivered) return settled;
  // What nobody will ask for any more.
  Statement clear(db_.get(),
                  "UPDATE reports SET text = NULL, gzip = NULL WHERE number ="
                  " (SELECT report FROM deliveries WHERE number = ?1) AND NOT"
                  " EXISTS (SELECT 1 FROM deliveries WHERE report ="
                  " reports.number AND state != 1)");
  const Status cleared = Run("write", clear.Bind(1, parcel.number));
  const auto* mail = std::get_if<MailAddress>(&parcel.destination);
  if (!cleared || !mail) return cleared;
  const std::string host = HostOf(parcel.destination);
  const std::string day = FormatDay(DayOf(settlement.at));
  Statement count(db_.get(),
                  "INSERT INTO mails VALUES(?, ?, 1) ON CONFLICT DO UPDATE"
                  " SET mails = mails + 1");
  return Run("write", count.Bind(1, day).Bind(2, host));
}

Result<uint64_t> ReportQueue::Hasten(Day day, const std::string& domain,
                                     WallTime now) {
  const std::string text = FormatDay(day);
  Statement row(db_.get(),
                "UPDATE deliveries SET next = ?1 WHERE state = 0 AND report IN"
                " (SELECT number FROM reports WHERE day = ?2 AND"
                " (?3 = '' OR domain = ?3))");
  const Status done =
      Run("write", row.Bind(1, ToInt(now)).Bind(2, text).Bind(3, domain));
  if (!done) return done.error();
  return static_cast<uint64_t>(sqlite3_changes64(db_.get()));
}

Result<int64_t> ReportQueue::ReportNumber(const std::string& id) {
  const std::string first = id.substr(0, id.find('@'));
  if (first.size() < kMinIdPrefix)
    return Error{"the ID '" + Printable(id) + "' is too short: give at least " +
                 std::to_string(kMinIdPrefix) +
                 " of its characters (postern-report status shows it)"};
  Statement row(db_.get(),
                "SELECT number, id FROM reports WHERE substr(id, 1, length(?1))"
                " = ?1 LIMIT 2");
  if (!row.Bind(1, id).Step()) {
    if (row.failed()) return Failed("read");
    return Error{"there is no report '" + Printable(id) +
                 "' (postern-report status shows their IDs)"};
  }
  const int64_t number = row.Int(0);
  if (row.Step())
    return Error{"several reports begin with '" + Printable(id) +
                 "'; give more of the ID"};
  return number;
}

Result<uint64_t> ReportQueue::Retry(const std::string& id, WallTime now) {
  const auto report = ReportNumber(id);
  if (!report) return report.error();
  Statement row(
      db_.get(),
      "UPDATE deliveries SET state = 0, attempts = 0, first = NULL, finished ="
      " NULL, next = ?1 WHERE report = ?2 AND state != 1");
  const Status done = Run("write", row.Bind(1, ToInt(now)).Bind(2, *report));
  if (!done) return done.error();
  return static_cast<uint64_t>(sqlite3_changes64(db_.get()));
}

Result<uint64_t> ReportQueue::Drop(const std::string& id, WallTime now) {
  const auto report = ReportNumber(id);
  if (!report) return report.error();
  Statement row(db_.get(),
                "UPDATE deliveries SET state = 3, next = NULL, finished = ?1"
                " WHERE report = ?2 AND state = 0");
  const Status done = Run("write", row.Bind(1, ToInt(now)).Bind(2, *report));
  if (!done) return done.error();
  return static_cast<uint64_t>(sqlite3_changes64(db_.get()));
}

Result<std::vector<DayRow>> ReportQueue::Days() {
  Statement row(
      db_.get(),
      "SELECT every.day, days.at, days.lines, days.skipped, days.lost,"
      " days.domains, (SELECT count(*) FROM reports r WHERE r.day = every.day),"
      " (SELECT count(DISTINCT d.report) FROM deliveries d JOIN reports r"
      "  ON r.number = d.report WHERE r.day = every.day AND d.state = 1)"
      " FROM (SELECT day FROM days UNION SELECT DISTINCT day FROM reports)"
      " every LEFT JOIN days ON days.day = every.day ORDER BY every.day");
  std::vector<DayRow> days;
  while (row.Step()) {
    DayRow& day = days.emplace_back();
    day.day = DayIn(row, 0);
    if (!row.IsNull(1))
      day.closed = ClosedDay{day.day,
                             ToTime(row.Int(1)),
                             static_cast<uint64_t>(row.Int(2)),
                             static_cast<uint64_t>(row.Int(3)),
                             static_cast<uint64_t>(row.Int(4)),
                             static_cast<uint64_t>(row.Int(5))};
    day.reports = static_cast<uint64_t>(row.Int(6));
    day.reports_delivered = static_cast<uint64_t>(row.Int(7));
  }
  if (row.failed()) return Failed("read");
  Statement states(db_.get(),
                   "SELECT d.state, count(*) FROM deliveries d JOIN reports r"
                   " ON r.number = d.report WHERE r.day = ? GROUP BY d.state");
  for (DayRow& day : days) {
    const std::string text = FormatDay(day.day);
    states.Reset();
    states.Bind(1, text);
    while (states.Step())
      if (const int64_t state = states.Int(0); state >= 0 && state < 4)
        day.by_state[state] = static_cast<uint64_t>(states.Int(1));
    if (states.failed()) return Failed("read");
  }
  return days;
}

Result<std::vector<DeliveryRow>> ReportQueue::Deliveries(std::optional<Day> day,
                                                         bool all) {
  const std::string text = day ? FormatDay(*day) : "";
  Statement row(db_.get(),
                "SELECT r.id, r.day, r.domain, r.successful, r.failed,"
                " d.destination, d.state, d.attempts, d.next, d.finished,"
                " d.reason FROM deliveries d JOIN reports r"
                " ON r.number = d.report WHERE (?1 = '' OR r.day = ?1)"
                " AND (?2 OR d.state != 1)"
                " ORDER BY r.day, r.domain, d.number");
  row.Bind(1, text).Bind(2, all);
  std::vector<DeliveryRow> rows;
  while (row.Step()) {
    DeliveryRow& one = rows.emplace_back();
    one.report_id = row.Text(0);
    one.day = DayIn(row, 1);
    one.domain = row.Text(2);
    one.successful = static_cast<uint64_t>(row.Int(3));
    one.failed = static_cast<uint64_t>(row.Int(4));
    one.destination = row.Text(5);
    one.state = static_cast<DeliveryState>(row.Int(6) & 3);
    one.attempts = static_cast<int>(row.Int(7));
    one.next = TimeOrNone(row, 8);
    one.finished = TimeOrNone(row, 9);
    one.reason = row.Text(10);
  }
  if (row.failed()) return Failed("read");
  return rows;
}

Result<uint64_t> ReportQueue::Waiting() {
  const auto count =
      sqlite::Ask(db_.get(), "SELECT count(*) FROM deliveries WHERE state = 0");
  if (!count) return Failed("read");
  return static_cast<uint64_t>(*count);
}

Result<uint64_t> ReportQueue::Overdue(Day day, const std::string& domain,
                                      WallTime now) {
  const std::string text = FormatDay(day);
  Statement row(db_.get(),
                "SELECT count(*) FROM deliveries d JOIN reports r"
                " ON r.number = d.report WHERE r.day = ?1 AND"
                " (?2 = '' OR r.domain = ?2) AND d.state = 0 AND d.next <= ?3");
  if (!row.Bind(1, text).Bind(2, domain).Bind(3, ToInt(now)).Step())
    return Failed("read");
  return static_cast<uint64_t>(row.Int(0));
}

Status ReportQueue::Forget(uint32_t keep) {
  // NULL where there are fewer days: then nothing is before it.
  const std::string before =
      "(SELECT day FROM days ORDER BY day DESC LIMIT 1 OFFSET ?)";
  return Transact("write", [&]() -> Status {
    for (const std::string& sql :
         {"DELETE FROM reports WHERE day < " + before +
              " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.report ="
              " reports.number AND d.state = 0)",
          "DELETE FROM mails WHERE day < " + before}) {
      Statement row(db_.get(), sql.c_str());
      const Status done =
          Run("write", row.Bind(1, static_cast<int64_t>(keep - 1)));
      if (!done) return done;
    }
    return Done{};
  });
}

}  // namespace postern
