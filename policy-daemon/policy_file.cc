#include "policy-daemon/policy_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

#include <boost/unordered/unordered_flat_map.hpp>
#include <sqlite3.h>

#include "common/domain_name.h"
#include "common/log.h"

namespace postern {
namespace {

// "PSTN": a file of ours.
constexpr int64_t kApplicationId = 0x5053544e;
// Each step leads from the version that is its place to the next one.
constexpr std::array<const char*, 2> kMigrations = {
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
constexpr int64_t kVersion = kMigrations.size();

constexpr char kColumns[] =
    "domain, id, policy, fetched_at, expires_at, refetch_at, check_at, "
    "used_at, failed_id, failed_first_at, failed_last_at, failed_tries, "
    "failed_reason";

// Domains that have nothing but a failed fetch: anybody can make those.
constexpr int64_t kMaxFailed = 100000;
constexpr int64_t kFailedDroppedAtOnce = 1000;
// What is kept in memory while the disk refuses it.
constexpr size_t kMaxUnwrittenBytes = 64 << 20;
constexpr int kBusyTimeoutMs = 2000;
constexpr int kPageSize = 4096;
constexpr int64_t kVisitPage = 1000;
constexpr int64_t kTakenOverAtOnce = 1000;

int64_t Number(WallTime time) { return time.time_since_epoch().count(); }
WallTime Time(int64_t seconds) { return WallTime(Seconds(seconds)); }

// What is to be written of a domain; nullopt: nothing is left of it.
using Record = std::optional<StsMemory>;
using Records = boost::unordered_flat_map<std::string, Record>;

size_t SizeOf(const Record& record) {
  size_t size = 500;
  if (record && record->policy)
    for (const auto& [name, value] : record->policy->policy->fields)
      size += name.size() + value.size() + 64;
  return size;
}

bool HasPolicy(const Record& record) { return record && record->policy; }
bool HasOnlyFailure(const Record& record) {
  return record && !record->policy && record->failure;
}

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// A prepared statement; bound by position, from 1.
class Statement {
 public:
  Statement(sqlite3* db, const std::string& sql) {
    code_ = sqlite3_prepare_v3(db, sql.c_str(), static_cast<int>(sql.size()),
                               SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& Bind(int place, int64_t value) {
    sqlite3_bind_int64(statement_, place, value);
    return *this;
  }
  // The text must live until the statement has been reset.
  Statement& Bind(int place, std::string_view text) {
    sqlite3_bind_text(statement_, place, text.data(),
                      static_cast<int>(text.size()), SQLITE_STATIC);
    return *this;
  }
  Statement& BindNull(int place) {
    sqlite3_bind_null(statement_, place);
    return *this;
  }
  // True: there is a row. At the end, or after an error, false.
  bool Step() {
    if (statement_) code_ = sqlite3_step(statement_);
    return code_ == SQLITE_ROW;
  }
  void Reset() { sqlite3_reset(statement_); }
  // SQLITE_DONE or SQLITE_ROW where all is well.
  int code() const { return code_ & 0xff; }
  bool failed() const {
    return code() != SQLITE_OK && code() != SQLITE_DONE && code() != SQLITE_ROW;
  }

  int64_t Int(int column) const {
    return sqlite3_column_int64(statement_, column);
  }
  std::string Text(int column) const {
    const auto* text = sqlite3_column_text(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return text ? std::string(reinterpret_cast<const char*>(text),
                              static_cast<size_t>(size))
                : std::string();
  }
  bool IsNull(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK;
};

bool IsCorrupt(int code) {
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

int Execute(sqlite3* db, const char* sql) {
  return sqlite3_exec(db, sql, nullptr, nullptr, nullptr) & 0xff;
}

std::optional<int64_t> Pragma(sqlite3* db, const char* sql) {
  Statement statement(db, sql);
  if (!statement.Step()) return std::nullopt;
  return statement.Int(0);
}

// A row in the order of kColumns. What does not parse is not there.
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

// True for a policy whose times fit each other: not longer in force than its
// max_age says.
bool IsSound(const StsMemory& memory) {
  if (!memory.policy) return false;
  const StoredPolicy& stored = *memory.policy;
  return stored.expires_at == stored.fetched_at + stored.policy->max_age;
}

// A path as part of a URI of SQLite's.
std::string UriPath(const std::string& path) {
  std::string text;
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "%%%02X", c);
      text += escaped;
    } else {
      text += c;
    }
  }
  return text;
}

std::string Stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return text;
}

}  // namespace

struct PolicyFile::State {
  State(Settings s, Metrics& metrics)
      : settings(std::move(s)),
        policies_gauge(
            metrics.Gauge("postern_policies", "MTA-STS policies remembered")),
        errors(metrics.Counter("postern_store_errors_total",
                               "Reads and writes of policies that failed")),
        set_aside(metrics.Counter(
            "postern_store_set_aside_total",
            "Times that the policy file was unreadable and set aside")) {}

  Settings settings;
  bool beside = false;  // the file is another process's, or there is none
  prometheus::Gauge& policies_gauge;
  prometheus::Counter& errors;
  prometheus::Counter& set_aside;
  LogLimiter log;

  Database db;
  std::unique_ptr<Statement> find;
  std::unique_ptr<Statement> put;
  std::unique_ptr<Statement> remove;
  bool read_only = false;    // it can be read, but not written now
  bool taking_over = false;  // a fault of the new file is not set aside, too
  std::string set_aside_as;  // to be taken over once there is a file again
  bool in_transaction = false;
  bool full = false;     // no room for newcomers
  int64_t policies = 0;  // rows, without what is unwritten
  int64_t failures = 0;  // of these: rows without a policy
  int64_t data_version = 0;
  Records begun;      // written in the transaction that is open
  Records unwritten;  // refused by the disk; newer than the file
  size_t unwritten_bytes = 0;

  // --- opening ---

  void OpenAnyhow();
  // `code` CORRUPT or NOTADB asks for the file to be set aside.
  Status OpenOnce(int* code);
  // The version of the file's schema; an Error if it is not ours.
  Result<int64_t> Identify(int* code);
  bool Migrate(int64_t version);
  void OpenToRead();
  void Prepare();
  void Close();
  void SetAside(const std::string& why);
  void TakeOver();
  bool Recount();

  // --- reading and writing ---

  // nullopt: it cannot be read now, and must not be overwritten by a guess.
  std::optional<Record> Read(const std::string& domain);
  void Write(const std::string& domain, const Record& before, Record after);
  bool WriteToFile(const std::string& domain, const Record& record);
  void KeepUnwritten(const std::string& domain, Record record);
  // The transaction has failed.
  void KeepBegun();
  void MakeRoomForFailures();
  // The number of rows gone; nullopt: it failed.
  std::optional<int64_t> Delete(const char* sql, int64_t value);
  void Commit();
  // Logs, counts, and sets a corrupt file aside.
  void Failed(const char* what, int code);
};

void PolicyFile::State::OpenAnyhow() {
  std::error_code none;
  const auto size = std::filesystem::file_size(settings.path, none);
  int code = SQLITE_OK;
  // SQLite would take it for a new database: an emptied file must not pass
  // for a first start. (One byte is nothing to it, too.)
  if (!none && size <= 1) return SetAside("the file is empty");
  const Status opened = OpenOnce(&code);
  if (opened) return TakeOver();
  if (IsCorrupt(code)) return SetAside(opened.error().message);
  Failed(opened.error().message.c_str(), code);
  OpenToRead();
}

// A disk that takes nothing must not cost what is on it: without shared memory
// beside the file (a full disk), else without locks (a read-only disk lets
// nobody have one to himself; after a crash most policies may be in the log),
// else without its log.
void PolicyFile::State::OpenToRead() {
  for (const char* how :
       {"?mode=rw", "?vfs=unix-none&mode=ro", "?mode=ro&immutable=1"}) {
    sqlite3* opened = nullptr;
    const std::string uri = "file:" + UriPath(settings.path) + how;
    const int code = sqlite3_open_v2(
        uri.c_str(), &opened,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, nullptr);
    db.reset(opened);
    sqlite3_db_config(opened, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    if (code == SQLITE_OK &&
        Execute(opened,
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = ON") ==
            SQLITE_OK &&
        Pragma(opened, "PRAGMA user_version") == kVersion && Recount()) {
      Prepare();
      read_only = true;
      return;
    }
    Close();
  }
}

Status PolicyFile::State::OpenOnce(int* code) {
  const std::string& path = settings.path;
  const auto fail = [&](const std::string& what) {
    *code = sqlite3_extended_errcode(db.get()) & 0xff;
    const std::string why = sqlite3_errmsg(db.get());
    Close();
    return Error{what + " " + path + ": " + why};
  };
  sqlite3* opened = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  *code = sqlite3_open_v2(path.c_str(), &opened, flags, nullptr);
  db.reset(opened);
  if (*code != SQLITE_OK) return fail("cannot open");
  sqlite3_busy_timeout(opened, kBusyTimeoutMs);
  // What is wrong with it must still be there when it has been set aside.
  sqlite3_db_config(opened, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // Before anything is written: it may be somebody else's.
  const Result<int64_t> version = Identify(code);
  if (!version) {
    Close();
    return version.error();
  }
  // A commit is synced: FULL, where WAL's default would wait for a checkpoint.
  if (Execute(opened,
              "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
              "PRAGMA cache_size = -16384;") != SQLITE_OK)
    return fail("cannot use");
  chmod(path.c_str(), 0640);
  if (*version < kVersion && !Migrate(*version)) return fail("cannot upgrade");
  const bool usable =
      Execute(opened, "DELETE FROM purged") == SQLITE_OK && Recount();
  if (!usable) {
    const Error error = fail("cannot use");
    // Our own tables are not there.
    if (*code == SQLITE_ERROR) *code = SQLITE_CORRUPT;
    return error;
  }
  Prepare();
  data_version = Pragma(opened, "PRAGMA data_version").value_or(0);
  return Done{};
}

Result<int64_t> PolicyFile::State::Identify(int* code) {
  // One after the other: a later success would hide the error of an earlier.
  const auto read = [&](const char* sql) { return Pragma(db.get(), sql); };
  const auto version = read("PRAGMA user_version");
  const auto application =
      version ? read("PRAGMA application_id") : std::nullopt;
  const auto tables =
      application ? read("SELECT count(*) FROM sqlite_master") : std::nullopt;
  if (!tables) {
    *code = sqlite3_errcode(db.get());
    return Error{"cannot read " + settings.path + ": " +
                 sqlite3_errmsg(db.get())};
  }
  const bool fresh = *tables == 0 && *application == 0;
  if ((fresh || *application == kApplicationId) && *version <= kVersion)
    return *version;
  *code = SQLITE_NOTADB;
  return Error{settings.path + (*application == kApplicationId
                                    ? " is of a newer version of Postern"
                                    : " is not a policy file")};
}

bool PolicyFile::State::Migrate(int64_t version) {
  std::string sql = "BEGIN IMMEDIATE;";
  for (int64_t step = version; step < kVersion; ++step)
    sql += kMigrations[static_cast<size_t>(step)];
  sql += "PRAGMA application_id = " + std::to_string(kApplicationId) +
         ";PRAGMA user_version = " + std::to_string(kVersion) + ";COMMIT;";
  if (Execute(db.get(), sql.c_str()) != SQLITE_OK) return false;
  if (version > 0)
    Log(LogLevel::kInfo, "policy_file_upgraded",
        {{"file", settings.path}, {"from", version}, {"to", kVersion}});
  return true;
}

void PolicyFile::State::Prepare() {
  const std::string columns = kColumns;
  find = std::make_unique<Statement>(
      db.get(), "SELECT " + columns + " FROM policies WHERE domain = ?");
  put = std::make_unique<Statement>(
      db.get(), "INSERT OR REPLACE INTO policies(" + columns +
                    ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)");
  remove = std::make_unique<Statement>(db.get(),
                                       "DELETE FROM policies WHERE domain = ?");
}

void PolicyFile::State::Close() {
  find.reset();
  put.reset();
  remove.reset();
  db.reset();
  in_transaction = false;
  read_only = false;
}

void PolicyFile::State::SetAside(const std::string& why) {
  Close();
  // What the open transaction held is not on disk.
  KeepBegun();
  const std::string& path = settings.path;
  std::string aside = path + ".unreadable-" + Stamp();
  for (int n = 2; std::filesystem::exists(aside); ++n)
    aside = path + ".unreadable-" + Stamp() + "-" + std::to_string(n);
  std::error_code failed;
  std::filesystem::rename(path, aside, failed);
  if (failed) return Failed("set aside", SQLITE_IOERR);
  std::error_code none;
  for (const char* part : {"-wal", "-shm"})
    std::filesystem::rename(path + part, aside + part, none);
  set_aside.Increment();
  Log(LogLevel::kError, "policy_file_set_aside",
      {{"file", path},
       {"reason", why},
       {"kept_as", aside},
       {"effect", "policies that cannot be taken over are fetched anew"},
       {"advice",
        "check the disk; delete the old file when it is not needed"}});
  set_aside_as = aside;
  int code = SQLITE_OK;
  const Status opened = OpenOnce(&code);
  if (opened) return TakeOver();
  Failed(opened.error().message.c_str(), SQLITE_CANTOPEN);
}

void PolicyFile::State::KeepBegun() {
  Records lost = std::exchange(begun, {});
  for (auto& [domain, record] : lost)
    if (!unwritten.contains(domain)) KeepUnwritten(domain, std::move(record));
}

// Reads what can be read of the file that was set aside. The values are
// checked like any other input.
void PolicyFile::State::TakeOver() {
  if (set_aside_as.empty()) return;
  const std::string from = std::exchange(set_aside_as, "");
  taking_over = true;
  // It is older than what waits to be written.
  Records newer = std::exchange(unwritten, {});
  unwritten_bytes = 0;
  sqlite3* opened = nullptr;
  sqlite3_open_v2(from.c_str(), &opened,
                  SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  const Database source(opened);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // With this, SQLite reads what is left of a file that was cut off.
  Execute(opened, "PRAGMA writable_schema = ON");
  int64_t taken = 0;
  // From both ends to where the fault is.
  for (const char* order : {"", " DESC"}) {
    Statement rows(opened, std::string("SELECT ") + kColumns +
                               " FROM policies WHERE policy IS NOT NULL "
                               "ORDER BY domain" +
                               order);
    while (rows.Step()) {
      StsMemory memory = ReadRow(rows);
      const std::string domain = rows.Text(0);
      if (NormalizeDomain(domain) != domain || !IsSound(memory)) continue;
      // It may be wrong in a way that nobody can see: look at it soon.
      memory.policy->check_at = WallTime{};
      memory.policy->refetch_at = WallTime{};
      Write(domain, Record(), std::move(memory));
      if (++taken % kTakenOverAtOnce == 0) Commit();
    }
    if (!rows.failed()) break;
  }
  Commit();
  for (auto& [domain, record] : newer) KeepUnwritten(domain, std::move(record));
  if (db) Recount();
  taking_over = false;
  Log(LogLevel::kWarn, "policies_taken_over",
      {{"from", from}, {"policies", taken}});
}

bool PolicyFile::State::Recount() {
  // Of all rows, SQLite counts whole pages; those without a policy are few.
  // To count the ones with a policy, it would look up each: seconds.
  const auto rows = Pragma(db.get(), "SELECT count(*) FROM policies");
  // A success would hide the error.
  if (!rows) return false;
  const auto without =
      Pragma(db.get(), "SELECT count(*) FROM policies WHERE policy IS NULL");
  if (!without) return false;
  policies = *rows - *without;
  failures = *without;
  policies_gauge.Set(static_cast<double>(policies));
  return true;
}

std::optional<Record> PolicyFile::State::Read(const std::string& domain) {
  for (bool again = true;; again = false) {
    if (const auto found = unwritten.find(domain); found != unwritten.end())
      return found->second;
    if (!db) return Record();
    Record record;
    find->Bind(1, domain);
    if (find->Step()) record = ReadRow(*find);
    find->Reset();
    if (!find->failed()) return record;
    const int code = find->code();
    Failed("read", code);
    // Set aside and taken over: it may be found there.
    if (!again || !IsCorrupt(code)) return std::nullopt;
  }
}

void PolicyFile::State::Write(const std::string& domain, const Record& before,
                              Record after) {
  if (!unwritten.empty() || !db || beside || read_only)
    return KeepUnwritten(domain, std::move(after));
  if (!in_transaction) {
    const int code = Execute(db.get(), "BEGIN IMMEDIATE");
    if (code != SQLITE_OK) {
      KeepUnwritten(domain, std::move(after));
      return Failed("write", code);
    }
    in_transaction = true;
  }
  if (!WriteToFile(domain, after)) {
    const int code = sqlite3_errcode(db.get());
    // Some faults end the whole transaction: what it held is newer than what
    // the file holds now.
    if (sqlite3_get_autocommit(db.get())) {
      in_transaction = false;
      KeepBegun();
      Recount();
    }
    KeepUnwritten(domain, std::move(after));
    return Failed("write", code);
  }
  policies += HasPolicy(after) - HasPolicy(before);
  failures += HasOnlyFailure(after) - HasOnlyFailure(before);
  begun[domain] = std::move(after);
  if (failures > kMaxFailed) MakeRoomForFailures();
}

bool PolicyFile::State::WriteToFile(const std::string& domain,
                                    const Record& record) {
  if (!record || (!record->policy && !record->failure)) {
    remove->Bind(1, domain).Step();
    remove->Reset();
    return !remove->failed();
  }
  const auto& policy = record->policy;
  const auto& failure = record->failure;
  const std::string text = policy ? StsPolicyText(*policy->policy) : "";
  const std::string id = policy ? policy->id : "";
  put->Bind(1, domain).Bind(2, id);
  if (policy) {
    put->Bind(3, text);
    put->Bind(4, Number(policy->fetched_at));
    put->Bind(5, Number(policy->expires_at));
    put->Bind(6, Number(policy->refetch_at));
    put->Bind(7, Number(policy->check_at));
    put->Bind(8, Number(policy->used_at));
  } else {
    put->BindNull(3);
    for (int place : {4, 5, 6, 8}) put->Bind(place, int64_t{0});
    put->Bind(7, Number(failure->first_at + kFailureMemory));
  }
  if (failure) {
    put->Bind(9, failure->id);
    put->Bind(10, Number(failure->first_at));
    put->Bind(11, Number(failure->last_at));
    put->Bind(12, int64_t{failure->tries});
    put->Bind(13, failure->reason);
  } else {
    for (int place = 9; place <= 13; ++place) put->BindNull(place);
  }
  put->Step();
  put->Reset();
  return !put->failed();
}

void PolicyFile::State::KeepUnwritten(const std::string& domain,
                                      Record record) {
  const size_t size = domain.size() + SizeOf(record);
  if (const auto found = unwritten.find(domain); found != unwritten.end())
    unwritten_bytes -= domain.size() + SizeOf(found->second);
  else if (unwritten_bytes + size > kMaxUnwrittenBytes)
    return;  // counted and logged as the failure that it comes from
  unwritten_bytes += size;
  unwritten[domain] = std::move(record);
}

std::optional<int64_t> PolicyFile::State::Delete(const char* sql,
                                                 int64_t value) {
  Statement drop(db.get(), sql);
  drop.Bind(1, value).Step();
  if (drop.failed()) return std::nullopt;
  return sqlite3_changes64(db.get());
}

void PolicyFile::State::MakeRoomForFailures() {
  const auto dropped = Delete(
      "DELETE FROM policies WHERE domain IN (SELECT domain FROM policies "
      "WHERE policy IS NULL ORDER BY check_at LIMIT ?)",
      kFailedDroppedAtOnce);
  failures -= dropped.value_or(0);
}

void PolicyFile::State::Failed(const char* what, int code) {
  errors.Increment();
  const std::string why = sqlite3_errstr(code);
  uint64_t suppressed = 0;
  if (log.Allow(std::chrono::steady_clock::now(), &suppressed))
    Log(LogLevel::kError, "policy_file_failed",
        {{"file", settings.path},
         {"doing", what},
         {"reason", why},
         {"effect", "policies are kept in memory until they can be written"},
         {"suppressed", suppressed}});
  // Another process's file is for that process to set aside.
  if (IsCorrupt(code) && !beside && !read_only && !taking_over) SetAside(why);
}

PolicyFile::PolicyFile(std::unique_ptr<State> state)
    : state_(std::move(state)) {}

PolicyFile::~PolicyFile() {
  Commit();
  if (!state_->unwritten.empty()) Poll();
  // All is well: fold the log into the file.
  if (state_->db && !state_->beside)
    sqlite3_db_config(state_->db.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0,
                      nullptr);
}

std::unique_ptr<PolicyFile> PolicyFile::Open(Settings settings,
                                             Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(settings), metrics);
  state->OpenAnyhow();
  return std::unique_ptr<PolicyFile>(new PolicyFile(std::move(state)));
}

Result<std::unique_ptr<PolicyFile>> PolicyFile::OpenBeside(
    const std::string& path, Access access, Metrics& metrics) {
  std::error_code none;
  if (!std::filesystem::exists(path, none) && !none)
    return Error{path + " does not exist: no daemon has run yet"};
  const bool reads = access == Access::kRead;
  // SQLite's "unable to open" would not say it.
  if (::access(path.c_str(), reads ? R_OK : W_OK) != 0 && errno == EACCES)
    return Error{std::string("no right to ") + (reads ? "read " : "write ") +
                 path + "; try as root"};
  Settings settings;
  settings.path = path;
  auto state = std::make_unique<State>(std::move(settings), metrics);
  sqlite3* opened = nullptr;
  const int flags = reads ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  int code =
      sqlite3_open_v2(path.c_str(), &opened, flags | SQLITE_OPEN_NOMUTEX, {});
  state->db.reset(opened);
  sqlite3_busy_timeout(opened, kBusyTimeoutMs);
  std::optional<int64_t> version;
  if (code == SQLITE_OK) version = Pragma(opened, "PRAGMA user_version");
  if (!version)
    return Error{"cannot open " + path + ": " + sqlite3_errmsg(opened)};
  if (*version != kVersion)
    return Error{path +
                 " is of another version of Postern; start the daemon "
                 "once to bring it up to date"};
  if (!reads && sqlite3_db_readonly(opened, "main") == 1)
    return Error{"no right to write " + path + "; try as root"};
  state->beside = true;
  state->Prepare();
  return std::unique_ptr<PolicyFile>(new PolicyFile(std::move(state)));
}

std::unique_ptr<PolicyFile> PolicyFile::WithoutFile(Metrics& metrics) {
  auto state = std::make_unique<State>(Settings(), metrics);
  state->beside = true;
  return std::unique_ptr<PolicyFile>(new PolicyFile(std::move(state)));
}

void PolicyFile::SetBounds(uint64_t max_policies, uint64_t max_bytes) {
  state_->settings.max_policies = max_policies;
  state_->settings.max_bytes = max_bytes;
}

StsMemory PolicyFile::Find(const std::string& domain) {
  return state_->Read(domain).value_or(Record()).value_or(StsMemory{});
}

void PolicyFile::PutPolicy(const std::string& domain, StoredPolicy policy,
                           WallTime now) {
  State& state = *state_;
  const Record before = state.Read(domain).value_or(Record());
  if (policy.used_at == WallTime{})
    policy.used_at = HasPolicy(before) ? before->policy->used_at : now;
  const bool full =
      state.full ||
      state.policies >= static_cast<int64_t>(state.settings.max_policies);
  if (!HasPolicy(before) && full && state.db && !state.read_only) {
    const auto freed = state.Delete(
        "DELETE FROM policies WHERE domain IN (SELECT domain FROM policies "
        "WHERE policy IS NOT NULL AND expires_at <= ? LIMIT 1000)",
        Number(now));
    state.policies -= freed.value_or(0);
    if (freed == 0) {
      uint64_t suppressed = 0;
      if (state.log.Allow(std::chrono::steady_clock::now(), &suppressed))
        Log(LogLevel::kWarn, "policy_not_remembered",
            {{"domain", domain},
             {"reason", "as many policies are remembered as may be"},
             {"suppressed", suppressed},
             {"advice", "raise cache.max_entries or cache.max_bytes"}});
      return;
    }
    state.full = false;  // measured anew at the next commit
  }
  StsMemory after;
  after.policy = std::move(policy);
  state.Write(domain, before, std::move(after));
}

void PolicyFile::PutFailure(const std::string& domain, FailedFetch failure) {
  const auto before = state_->Read(domain);
  if (!before) return;
  StsMemory after = before->value_or(StsMemory{});
  after.failure = std::move(failure);
  state_->Write(domain, *before, std::move(after));
}

void PolicyFile::NoteUse(const std::string& domain, WallTime used_at,
                         WallTime check_at) {
  const auto before = state_->Read(domain);
  if (!before || !HasPolicy(*before)) return;
  Record after = *before;
  after->policy->used_at = used_at;
  after->policy->check_at = check_at;
  state_->Write(domain, *before, std::move(after));
}

void PolicyFile::Schedule(const std::string& domain, WallTime check_at) {
  const auto before = state_->Read(domain);
  if (!before || !HasPolicy(*before)) return;
  NoteUse(domain, (*before)->policy->used_at, check_at);
}

void PolicyFile::Forget(const std::string& domain) {
  const auto before = state_->Read(domain);
  if (before && *before) state_->Write(domain, *before, std::nullopt);
}

std::vector<std::string> PolicyFile::Due(WallTime now, size_t limit) {
  std::vector<std::string> domains;
  // What could not be written is due in the file for ever.
  for (const auto& [domain, record] : state_->unwritten)
    if (HasPolicy(record) && record->policy->check_at <= now &&
        domains.size() < limit)
      domains.push_back(domain);
  if (!state_->db) return domains;
  for (const char* which : {"NOT NULL", "NULL"}) {
    Statement due(state_->db.get(),
                  std::string("SELECT domain FROM policies WHERE policy IS ") +
                      which + " AND check_at <= ? ORDER BY check_at LIMIT ?");
    due.Bind(1, Number(now)).Bind(2, static_cast<int64_t>(limit));
    while (domains.size() < limit && due.Step()) {
      std::string domain = due.Text(0);
      if (!state_->unwritten.contains(domain))
        domains.push_back(std::move(domain));
    }
    if (due.failed()) {
      state_->Failed("read", due.code());
      break;
    }
  }
  return domains;
}

void PolicyFile::Commit() { state_->Commit(); }

void PolicyFile::State::Commit() {
  if (!std::exchange(in_transaction, false)) return;
  const int code = Execute(db.get(), "COMMIT");
  if (code != SQLITE_OK) {
    Execute(db.get(), "ROLLBACK");
    KeepBegun();
    Failed("commit", code);
    if (db) Recount();
    return;
  }
  begun.clear();
  const int64_t pages = Pragma(db.get(), "PRAGMA page_count").value_or(0) -
                        Pragma(db.get(), "PRAGMA freelist_count").value_or(0);
  full = static_cast<uint64_t>(pages) * kPageSize >= settings.max_bytes;
  policies_gauge.Set(static_cast<double>(policies));
}

Status PolicyFile::ForEach(const Visit& visit) {
  // In pages: a long read would keep the daemon's log from being folded in.
  std::string after;
  for (;;) {
    Statement page(state_->db.get(),
                   std::string("SELECT ") + kColumns +
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
    if (page.failed())
      return Error{"cannot read " + state_->settings.path + ": " +
                   sqlite3_errstr(page.code())};
    if (rows < kVisitPage) return Done{};
    after = std::move(last);
  }
}

Result<uint64_t> PolicyFile::Purge(const std::string& domain) {
  sqlite3* const db = state_->db.get();
  const auto fail = [&] {
    const Error error{"cannot write " + state_->settings.path + ": " +
                      sqlite3_errmsg(db)};
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

std::vector<std::string> PolicyFile::Poll() {
  State& state = *state_;
  std::vector<std::string> domains;
  if (state.beside) return domains;
  if (!state.db || state.read_only) {
    state.Close();
    state.OpenAnyhow();
  }
  Commit();
  if (!state.db || state.read_only) return domains;
  Records waiting = std::exchange(state.unwritten, {});
  state.unwritten_bytes = 0;
  for (auto& [domain, record] : waiting) {
    const auto before = state.Read(domain);
    if (before)
      state.Write(domain, *before, std::move(record));
    else
      state.KeepUnwritten(domain, std::move(record));
  }
  Commit();
  if (!state.db) return domains;
  const auto version = Pragma(state.db.get(), "PRAGMA data_version");
  if (!version || *version == state.data_version) return domains;
  {
    Statement purged(state.db.get(), "SELECT domain FROM purged");
    while (purged.Step()) domains.push_back(purged.Text(0));
    if (purged.failed()) return domains;
  }
  state.data_version = *version;
  if (domains.empty()) return domains;
  Execute(state.db.get(), "DELETE FROM purged");
  // What waits to be written is younger than the purge.
  state.Recount();
  return domains;
}

uint64_t PolicyFile::policies() const {
  return static_cast<uint64_t>(state_->policies);
}

}  // namespace postern
