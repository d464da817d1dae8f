#include "policy-daemon/policy_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/domain_name.h"
#include "common/log.h"
#include "common/sqlite.h"

#include "policy-daemon/policy_schema.h"

namespace postern {
namespace {

using sqlite::Ask;
using sqlite::Database;
using sqlite::Execute;
using sqlite::IsCorrupt;
using sqlite::Statement;

// Domains that have nothing but a failed fetch: anybody can make those.
constexpr int64_t kMaxFailed = 100000;
constexpr int64_t kFailedDroppedAtOnce = 1000;
// What is kept in memory while the disk refuses it.
constexpr size_t kMaxUnwrittenBytes = 64 << 20;
constexpr int kBusyTimeoutMs = 2000;
constexpr int kPageSize = 4096;
constexpr int64_t kVisitPage = 1000;
constexpr int64_t kTakenOverAtOnce = 1000;
// Behind the file's name: set aside at a time, and what it held taken over.
constexpr char kAside[] = ".unreadable-";
constexpr char kTaken[] = ".taken";

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

  ~State() {
    if (lock >= 0) close(lock);
  }

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
  int lock = -1;             // held as long as the process lives
  bool in_transaction = false;
  bool full = false;     // no room for newcomers
  int64_t policies = 0;  // rows, without what is unwritten
  int64_t failures = 0;  // of these: rows without a policy
  Records begun;         // written in the transaction that is open
  Records unwritten;     // refused by the disk; newer than the file
  size_t unwritten_bytes = 0;

  // --- opening ---

  void OpenAnyhow();
  // `code` CORRUPT or NOTADB asks for the file to be set aside.
  Status OpenOnce(int* code);
  // The version of the file's schema; an Error if it is not ours.
  Result<int64_t> Identify(int* code);
  bool Migrate(int64_t version);
  bool Lock();
  void FindSetAside();
  void OpenToRead();
  void Prepare();
  void Close();
  void SetAside(const std::string& why);
  void TakeOver();
  bool Recount();
  std::vector<std::string> TakePurged();

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
  if (none) FindSetAside();
  if (!Lock()) {
    Failed("lock (another daemon has it)", SQLITE_BUSY);
    return OpenToRead();
  }
  const Status opened = OpenOnce(&code);
  if (opened) return TakeOver();
  if (IsCorrupt(code)) return SetAside(opened.error().message);
  Failed(opened.error().message.c_str(), code);
  OpenToRead();
}

// One daemon a file: two would each miss what the other purges or sets aside.
bool PolicyFile::State::Lock() {
  if (lock >= 0) return true;
  const int fd = open((settings.path + ".lock").c_str(),
                      O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  // Where there is no room for it, there is none for two daemons' writes.
  if (fd < 0) return errno != EWOULDBLOCK;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return false;
  }
  lock = fd;
  return true;
}

// A process that ended between setting a file aside and taking it over.
void PolicyFile::State::FindSetAside() {
  const std::filesystem::path path(settings.path);
  const std::string prefix = path.filename().string() + kAside;
  std::string newest;
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator(path.parent_path(), none)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && !name.ends_with(kTaken) &&
        !name.ends_with("-wal") && !name.ends_with("-shm"))
      newest = std::max(newest, name);
  }
  if (!newest.empty()) set_aside_as = path.parent_path() / newest;
}

// A disk that takes nothing must not cost what is on it, nor a daemon that
// still has the lock: beside that one, else without shared memory beside the
// file (a full disk), else without locks (a read-only disk lets nobody have one
// to himself; after a crash most policies may be in the log), else without its
// log.
void PolicyFile::State::OpenToRead() {
  struct Way {
    const char* uri;
    const char* locking;
  };
  for (const Way& way :
       {Way{"?mode=ro", "NORMAL"}, Way{"?mode=rw", "EXCLUSIVE"},
        Way{"?vfs=unix-none&mode=ro", "EXCLUSIVE"},
        Way{"?mode=ro&immutable=1", "EXCLUSIVE"}}) {
    sqlite3* opened = nullptr;
    const std::string uri = "file:" + UriPath(settings.path) + way.uri;
    const int code = sqlite3_open_v2(
        uri.c_str(), &opened,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, nullptr);
    db.reset(opened);
    sqlite3_db_config(opened, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    if (code == SQLITE_OK &&
        Execute(opened, ("PRAGMA locking_mode = " + std::string(way.locking) +
                         "; PRAGMA query_only = ON")
                            .c_str()) == SQLITE_OK &&
        Ask(opened, "PRAGMA user_version") == kSchemaVersion && Recount()) {
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
  if (*version < kSchemaVersion && !Migrate(*version))
    return fail("cannot upgrade");
  // (All our own tables must be there.)
  const bool usable = Ask(opened, "SELECT count(*) FROM purged") && Recount();
  if (!usable) {
    const Error error = fail("cannot use");
    // Our own tables are not there.
    if (*code == SQLITE_ERROR) *code = SQLITE_CORRUPT;
    return error;
  }
  Prepare();
  return Done{};
}

Result<int64_t> PolicyFile::State::Identify(int* code) {
  // One after the other: a later success would hide the error of an earlier.
  const auto read = [&](const char* sql) { return Ask(db.get(), sql); };
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
  if ((fresh || *application == kApplicationId) && *version <= kSchemaVersion)
    return *version;
  *code = SQLITE_NOTADB;
  return Error{settings.path + (*application == kApplicationId
                                    ? " is of a newer version of Postern"
                                    : " is not a policy file")};
}

bool PolicyFile::State::Migrate(int64_t version) {
  std::string sql = "BEGIN IMMEDIATE;";
  for (int64_t step = version; step < kSchemaVersion; ++step)
    sql += kMigrations[static_cast<size_t>(step)];
  sql += "PRAGMA application_id = " + std::to_string(kApplicationId) +
         ";PRAGMA user_version = " + std::to_string(kSchemaVersion) +
         ";COMMIT;";
  if (Execute(db.get(), sql.c_str()) != SQLITE_OK) return false;
  if (version > 0)
    Log(LogLevel::kInfo, "policy_file_upgraded",
        {{"file", settings.path}, {"from", version}, {"to", kSchemaVersion}});
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
  std::error_code none;
  std::string aside = path + kAside + Stamp();
  const auto taken = [&](const std::string& name) {
    return std::filesystem::exists(name, none) ||
           std::filesystem::exists(name + kTaken, none);
  };
  for (int n = 2; taken(aside); ++n)
    aside = path + kAside + Stamp() + "-" + std::to_string(n);
  std::error_code failed;
  std::filesystem::rename(path, aside, failed);
  if (failed) return Failed("set aside", SQLITE_IOERR);
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
  // A start in between must do it again; a later one must not.
  std::error_code failed;
  std::filesystem::rename(from, from + kTaken, failed);
  for (const char* part : {"-wal", "-shm"})
    std::filesystem::rename(from + part, from + kTaken + part, failed);
  Log(LogLevel::kWarn, "policies_taken_over",
      {{"from", from + kTaken}, {"policies", taken}});
}

bool PolicyFile::State::Recount() {
  // Of all rows, SQLite counts whole pages; those without a policy are few.
  // To count the ones with a policy, it would look up each: seconds.
  const auto rows = Ask(db.get(), "SELECT count(*) FROM policies");
  // A success would hide the error.
  if (!rows) return false;
  const auto without =
      Ask(db.get(), "SELECT count(*) FROM policies WHERE policy IS NULL");
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
  WriteRow(*put, domain, *record);
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
  if (code == SQLITE_OK) version = Ask(opened, "PRAGMA user_version");
  if (!version)
    return Error{"cannot open " + path + ": " + sqlite3_errmsg(opened)};
  if (*version != kSchemaVersion)
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
  const auto record = state_->Read(domain);
  StsMemory memory = record.value_or(Record()).value_or(StsMemory{});
  memory.unread = !record;
  return memory;
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
  // The agenda forgets what has expired; to look for it here would take long.
  if (!HasPolicy(before) && full) {
    uint64_t suppressed = 0;
    if (state.log.Allow(std::chrono::steady_clock::now(), &suppressed))
      Log(LogLevel::kWarn, "policy_not_remembered",
          {{"domain", domain},
           {"reason", "as many policies are remembered as may be"},
           {"suppressed", suppressed},
           {"advice", "raise cache.max_entries or cache.max_bytes"}});
    return;
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

void PolicyFile::Schedule(const std::string& domain, WallTime fetched_at,
                          WallTime check_at) {
  const auto before = state_->Read(domain);
  if (!before || !HasPolicy(*before) ||
      (*before)->policy->fetched_at != fetched_at)
    return;
  Record after = *before;
  after->policy->check_at = check_at;
  state_->Write(domain, *before, std::move(after));
}

void PolicyFile::Forget(const std::string& domain) {
  const auto before = state_->Read(domain);
  if (before && *before) state_->Write(domain, *before, std::nullopt);
}

void PolicyFile::ForgetExpired(const std::string& domain, WallTime now) {
  const auto before = state_->Read(domain);
  if (!before || !*before) return;
  const auto& policy = (*before)->policy;
  const auto& failure = (*before)->failure;
  if ((policy && now < policy->expires_at) ||
      (failure && now < failure->first_at + kFailureMemory))
    return;
  state_->Write(domain, *before, std::nullopt);
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
    due.Bind(1, UnixTime(now)).Bind(2, static_cast<int64_t>(limit));
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
  const int64_t pages = Ask(db.get(), "PRAGMA page_count").value_or(0) -
                        Ask(db.get(), "PRAGMA freelist_count").value_or(0);
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
  // A purge goes before what waits to be written: it may be older.
  domains = state.TakePurged();
  Records waiting = std::exchange(state.unwritten, {});
  state.unwritten_bytes = 0;
  for (auto& [domain, record] : waiting) {
    const auto before = state.Read(domain);
    if (!before) {
      state.KeepUnwritten(domain, std::move(record));
      continue;
    }
    // Written down while the file could not be read: no word against what it
    // holds.
    if (HasOnlyFailure(record) && HasPolicy(*before))
      record->policy = (*before)->policy;
    state.Write(domain, *before, std::move(record));
  }
  Commit();
  return domains;
}

std::vector<std::string> PolicyFile::State::TakePurged() {
  std::vector<std::string> domains;
  if (Ask(db.get(), "SELECT count(*) FROM purged").value_or(0) == 0 ||
      Execute(db.get(), "BEGIN IMMEDIATE") != SQLITE_OK)
    return domains;
  {
    Statement purged(db.get(), "SELECT domain FROM purged");
    while (purged.Step()) domains.push_back(purged.Text(0));
  }
  const bool taken =
      Execute(db.get(), "DELETE FROM purged; COMMIT") == SQLITE_OK;
  if (!taken) {
    Execute(db.get(), "ROLLBACK");
    return {};
  }
  for (const std::string& domain : domains) {
    if (domain.empty()) unwritten.clear();
    unwritten.erase(domain);
  }
  Recount();
  return domains;
}

uint64_t PolicyFile::policies() const {
  return static_cast<uint64_t>(state_->policies);
}

}  // namespace postern
