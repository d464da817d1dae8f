#include "policy-daemon/policy_schema.h"

namespace postern {
namespace {

using sqlite::Ask;
using sqlite::Execute;
using sqlite::Statement;

constexpr int64_t kVisitPage = 1000;

// Seconds since the epoch, as the columns hold them.
int64_t UnixTime(WallTime time) { return time.time_since_epoch().count(); }
WallTime Time(int64_t seconds) { return WallTime(Seconds(seconds)); }

}  // namespace

StsMemory ReadRow(const Statement& row) {
  StsMemory memory;
  if (!row.IsNull(2)) {
    auto policy = ParseStsPolicy(row.Text(2));
    if (policy) {
      StoredPolicy stored;
      stored.policy = std::make_shared<const StsPolicy>(std::move(*policy));
      stored.id = row.Text(1);
      stored.fetched_at = Time(row.Int(3));
      stored.expires_at = Time(row.Int(4));
      stored.refetch_at = Time(row.Int(5));
      stored.check_at = Time(row.Int(6));
      stored.used_at = Time(row.Int(7));
      memory.policy = std::move(stored);
    }
  }
  if (!row.IsNull(8)) {
    memory.failure =
        FailedFetch{row.Text(8), Time(row.Int(9)), Time(row.Int(10)),
                    static_cast<int>(row.Int(11)), row.Text(12)};
  }
  return memory;
}

bool IsSound(const StsMemory& memory) {
  if (!memory.policy) return false;
  const StoredPolicy& stored = *memory.policy;
  return stored.expires_at == stored.fetched_at + stored.policy->max_age;
}

void WriteRow(Statement& put, const std::string& domain,
              const StsMemory& memory) {
  const auto& policy = memory.policy;
  const auto& failure = memory.failure;
  const std::string text = policy ? StsPolicyText(*policy->policy) : "";
  const std::string id = policy ? policy->id : "";
  put.Bind(1, domain).Bind(2, id);
  if (policy) {
    put.Bind(3, text);
    put.Bind(4, UnixTime(policy->fetched_at));
    put.Bind(5, UnixTime(policy->expires_at));
    put.Bind(6, UnixTime(policy->refetch_at));
    put.Bind(7, UnixTime(policy->check_at));
    put.Bind(8, UnixTime(policy->used_at));
  } else {
    put.BindNull(3);
    for (int place : {4, 5, 6, 8}) put.Bind(place, int64_t{0});
    put.Bind(7, UnixTime(failure->first_at + kFailureMemory));
  }
  if (failure) {
    put.Bind(9, failure->id);
    put.Bind(10, UnixTime(failure->first_at));
    put.Bind(11, UnixTime(failure->last_at));
    put.Bind(12, int64_t{failure->tries});
    put.Bind(13, failure->reason);
  } else {
    for (int place = 9; place <= 13; ++place) put.BindNull(place);
  }
  put.Step();
  put.Reset();
}

std::optional<RowCounts> CountRows(sqlite3* db) {
  // Of all rows, SQLite counts whole pages; those without a policy are few.
  // To count the ones with a policy, it would look up each: seconds.
  const auto rows = Ask(db, "SELECT count(*) FROM policies");
  // A success would hide the error.
  if (!rows) return std::nullopt;
  const auto without =
      Ask(db, "SELECT count(*) FROM policies WHERE policy IS NULL");
  if (!without) return std::nullopt;
  return RowCounts{*rows - *without, *without};
}

int VisitRows(sqlite3* db, const VisitRow& visit) {
  // In pages: a long read would keep the daemon's log from being folded in.
  std::string after;
  for (;;) {
    Statement page(db, std::string("SELECT ") + kColumns +
                           " FROM policies WHERE domain > ? ORDER BY domain "
                           "LIMIT ?");
    page.Bind(1, after).Bind(2, kVisitPage);
    int64_t rows = 0;
    std::string last;
    while (page.Step()) {
      ++rows;
      last = page.Text(0);
      visit(last, ReadRow(page));
    }
    if (page.failed()) return page.code();
    if (rows < kVisitPage) return SQLITE_OK;
    after = std::move(last);
  }
}

int VisitDue(sqlite3* db, WallTime now, size_t limit,
             const std::function<bool(const std::string&)>& visit) {
  for (const char* which : {"NOT NULL", "NULL"}) {
    Statement due(db,
                  std::string("SELECT domain FROM policies WHERE policy IS ") +
                      which + " AND check_at <= ? ORDER BY check_at LIMIT ?");
    due.Bind(1, UnixTime(now)).Bind(2, static_cast<int64_t>(limit));
    while (due.Step())
      if (!visit(due.Text(0))) return SQLITE_OK;
    if (due.failed()) return due.code();
  }
  return SQLITE_OK;
}

int64_t DropOldestFailures(sqlite3* db, int64_t count) {
  Statement drop(
      db,
      "DELETE FROM policies WHERE domain IN (SELECT domain FROM policies "
      "WHERE policy IS NULL ORDER BY check_at LIMIT ?)");
  drop.Bind(1, count).Step();
  return drop.failed() ? 0 : sqlite3_changes64(db);
}

Result<uint64_t> PurgeRows(sqlite3* db, const std::string& domain) {
  const auto fail = [&] {
    const Error error{sqlite3_errmsg(db)};
    Execute(db, "ROLLBACK");
    return error;
  };
  if (Execute(db, "BEGIN IMMEDIATE") != SQLITE_OK) return fail();
  Statement remove(db, domain.empty()
                           ? "DELETE FROM policies"
                           : "DELETE FROM policies WHERE domain = ?");
  if (!domain.empty()) remove.Bind(1, domain);
  remove.Step();
  const auto removed = static_cast<uint64_t>(sqlite3_changes64(db));
  Statement tell(db, "INSERT INTO purged(domain) VALUES(?)");
  tell.Bind(1, domain).Step();
  if (remove.failed() || tell.failed() || Execute(db, "COMMIT") != SQLITE_OK)
    return fail();
  return removed;
}

std::vector<std::string> TakePurged(sqlite3* db) {
  std::vector<std::string> domains;
  if (Ask(db, "SELECT count(*) FROM purged").value_or(0) == 0 ||
      Execute(db, "BEGIN IMMEDIATE") != SQLITE_OK)
    return domains;
  {
    Statement purged(db, "SELECT domain FROM purged");
    while (purged.Step()) domains.push_back(purged.Text(0));
  }
  if (Execute(db, "DELETE FROM purged; COMMIT") == SQLITE_OK) return domains;
  Execute(db, "ROLLBACK");
  return {};
}

}  // namespace postern
