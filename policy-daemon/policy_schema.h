// The tables of policies.db: their schema, how a domain's memory becomes a row
// and comes back, and what is asked of all rows. What is read is checked like
// any other input.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/sqlite.h"

#include "policy-daemon/policy_store.h"

namespace postern {

// "PSTN": a file of ours.
inline constexpr int64_t kApplicationId = 0x5053544e;
// Each step leads from the version that is its place to the next one.
inline constexpr std::array<const char*, 2> kMigrations = {
    // 1: policies alone.
    R"(CREATE TABLE policies(
         domain TEXT PRIMARY KEY NOT NULL,
         id TEXT NOT NULL,
         policy TEXT,
         fetched_at INTEGER NOT NULL,
         expires_at INTEGER NOT NULL,
         refetch_at INTEGER NOT NULL
       ) WITHOUT ROWID;)",
    // 2: failed fetches, the agenda of the refreshes, word from beside.
    R"(ALTER TABLE policies ADD COLUMN check_at INTEGER NOT NULL DEFAULT 0;
       ALTER TABLE policies ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
       ALTER TABLE policies ADD COLUMN failed_id TEXT;
       ALTER TABLE policies ADD COLUMN failed_first_at INTEGER;
       ALTER TABLE policies ADD COLUMN failed_last_at INTEGER;
       ALTER TABLE policies ADD COLUMN failed_tries INTEGER;
       ALTER TABLE policies ADD COLUMN failed_reason TEXT;
       UPDATE policies SET used_at = fetched_at;
       CREATE INDEX due_policies ON policies(check_at)
         WHERE policy IS NOT NULL;
       CREATE INDEX due_failures ON policies(check_at) WHERE policy IS NULL;
       CREATE TABLE purged(domain TEXT NOT NULL);)"};
inline constexpr int64_t kSchemaVersion = kMigrations.size();

inline constexpr char kColumns[] =
    "domain, id, policy, fetched_at, expires_at, refetch_at, check_at, "
    "used_at, failed_id, failed_first_at, failed_last_at, failed_tries, "
    "failed_reason";

// Of a statement that selects kColumns. What does not parse is not there.
StsMemory ReadRow(const sqlite::Statement& row);

// Into a statement that takes all of kColumns. Binds, steps and resets it.
void WriteRow(sqlite::Statement& put, const std::string& domain,
              const StsMemory& memory);

// True for a policy whose times fit each other: not longer in force than its
// max_age says.
bool IsSound(const StsMemory& memory);

struct RowCounts {
  int64_t policies = 0;
  int64_t failures = 0;  // rows without a policy
};
// nullopt: `db` says why.
std::optional<RowCounts> CountRows(sqlite3* db);

using VisitRow = std::function<void(const std::string&, const StsMemory&)>;
// Calls `visit` for each row, in order of names. SQLITE_OK, or why it ended.
int VisitRows(sqlite3* db, const VisitRow& visit);

// Calls `visit` for up to `limit` domains with a policy, then as many without,
// whose time has come, the longest waiting first, while it returns true.
// SQLITE_OK, or why it ended.
int VisitDue(sqlite3* db, WallTime now, size_t limit,
             const std::function<bool(const std::string&)>& visit);

// The number of rows gone; an error is none.
int64_t DropOldestFailures(sqlite3* db, int64_t count);

// Forgets a domain, "" for all, and leaves word of it. The number of rows that
// were there.
Result<uint64_t> PurgeRows(sqlite3* db, const std::string& domain);
// The words left since the last call.
std::vector<std::string> TakePurged(sqlite3* db);

}  // namespace postern
