// The tables of policies.db: their schema, how a domain's memory becomes a row
// and comes back, and the words that `cache purge` leaves. What is read is
// checked like any other input.
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
inline constexpr std::array<const char*, 3> kMigrations = {
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
       CREATE TABLE purged(domain TEXT NOT NULL);)",
    // 3: what is in use, and what has expired; when it was purged. Policies of
    // before are taken for used on two days: none goes for a newcomer. The
    // agenda is in memory.
    R"(ALTER TABLE policies ADD COLUMN days_used INTEGER NOT NULL DEFAULT 2;
       ALTER TABLE policies ADD COLUMN expired_days INTEGER NOT NULL DEFAULT 0;
       ALTER TABLE policies ADD COLUMN expired_day INTEGER NOT NULL DEFAULT 0;
       ALTER TABLE purged ADD COLUMN purged_at INTEGER NOT NULL DEFAULT 0;
       DROP INDEX due_policies;
       DROP INDEX due_failures;)"};
inline constexpr int64_t kSchemaVersion = kMigrations.size();

inline constexpr char kColumns[] =
    "domain, id, policy, fetched_at, expires_at, refetch_at, check_at, "
    "used_at, failed_id, failed_first_at, failed_last_at, failed_tries, "
    "failed_reason, days_used, expired_days, expired_day";
// Of a file that a program of an older version wrote.
inline constexpr char kColumnsBefore3[] =
    "domain, id, policy, fetched_at, expires_at, refetch_at, check_at, "
    "used_at, failed_id, failed_first_at, failed_last_at, failed_tries, "
    "failed_reason, 2, 0, 0";

// Of a statement that selects kColumns. What does not parse is not there.
StsMemory ReadRow(const sqlite::Statement& row);

// Into a statement that takes all of kColumns. Binds, steps and resets it.
void WriteRow(sqlite::Statement& put, const std::string& domain,
              const StsMemory& memory);

// True for a policy whose times fit each other: not longer in force than its
// max_age says.
bool IsSound(const StsMemory& memory);

using VisitRow = std::function<void(const std::string&, const StsMemory&)>;
// Calls `visit` for each row, in order of names. SQLITE_OK, or why it ended.
int VisitRows(sqlite3* db, const char* columns, const VisitRow& visit);

// Forgets a domain, "" for all, and leaves word of it. The number of rows that
// were there.
Result<uint64_t> PurgeRows(sqlite3* db, const std::string& domain, WallTime at);
// Word that was left.
struct Purged {
  std::string domain;  // "" for all
  WallTime at{};
};
// All of it; the rows are deleted within the transaction that is open.
std::vector<Purged> TakePurged(sqlite3* db);

}  // namespace postern
