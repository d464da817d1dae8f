#include "policy-daemon/policy_schema.h"

namespace postern {
namespace {

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
      stored.policy =
          std::make_shared<const StsPolicy>(Essential(std::move(*policy)));
      stored.id = row.Text(1);
      stored.fetched_at = Time(row.Int(3));
      stored.expires_at = Time(row.Int(4));
      stored.refetch_at = Time(row.Int(5));
      stored.check_at = Time(row.Int(6));
      stored.used_at = Time(row.Int(7));
      stored.days_used = static_cast<int>(row.Int(13));
      stored.expired_days = static_cast<int>(row.Int(14));
      stored.expired_day = row.Int(15);
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
  put.Bind(14, int64_t{policy ? policy->days_used : 0});
  put.Bind(15, int64_t{policy ? policy->expired_days : 0});
  put.Bind(16, policy ? policy->expired_day : 0);
  put.Step();
  put.Reset();
}

int VisitRows(sqlite3* db, const char* columns, const VisitRow& visit) {
  // In pages: a long read would keep the daemon's log from being folded in.
  std::string after;
  for (;;) {
    Statement page(db, std::string("SELECT ") + columns +
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

Result<uint64_t> PurgeRows(sqlite3* db, const std::string& domain,
                           WallTime at) {
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
  Statement tell(db, "INSERT INTO purged(domain, purged_at) VALUES(?, ?)");
  tell.Bind(1, domain).Bind(2, UnixTime(at)).Step();
  if (remove.failed() || tell.failed() || Execute(db, "COMMIT") != SQLITE_OK)
    return fail();
  return removed;
}

std::vector<Purged> TakePurged(sqlite3* db) {
  std::vector<Purged> all;
  Statement purged(db, "SELECT domain, purged_at FROM purged");
  while (purged.Step()) all.push_back({purged.Text(0), Time(purged.Int(1))});
  if (!all.empty()) Execute(db, "DELETE FROM purged");
  return all;
}

}  // namespace postern
