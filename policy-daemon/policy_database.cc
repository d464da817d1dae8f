#include "policy-daemon/policy_database.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/domain_name.h"
#include "common/log.h"

namespace postern {
namespace {

using sqlite::Ask;
using sqlite::Database;
using sqlite::Execute;
using sqlite::IsCorrupt;
using sqlite::Statement;

constexpr int kBusyTimeoutMs = 2000;
// Behind the file's name: set aside at a time, and what it held taken over.
constexpr char kAside[] = ".unreadable-";
constexpr char kTaken[] = ".taken";

void FoldLogOnClose(sqlite3* db, bool fold) {
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, fold ? 0 : 1,
                    nullptr);
}

// SQLite's code.
int Connect(const std::string& name, int flags, Database* db) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &opened,
                                   flags | SQLITE_OPEN_NOMUTEX, nullptr);
  db->reset(opened);
  // What is wrong with it must still be there when it has been set aside.
  FoldLogOnClose(opened, false);
  return code;
}

// With its log. False: the file itself is where it was.
bool Rename(const std::string& from, const std::string& to) {
  std::error_code failed;
  std::filesystem::rename(from, to, failed);
  if (failed) return false;
  for (const char* part : {"-wal", "-shm"})
    std::filesystem::rename(from + part, to + part, failed);
  return true;
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

PolicyDatabase::PolicyDatabase(std::string path, Metrics& metrics)
    : path_(std::move(path)),
      set_aside_count_(metrics.Counter(
          "postern_store_set_aside_total",
          "Times that the policy file was unreadable and set aside")) {}

PolicyDatabase::~PolicyDatabase() {
  Close();
  if (lock_ >= 0) close(lock_);
}

void PolicyDatabase::Close() {
  db_.reset();
  read_only_ = false;
}

void PolicyDatabase::FoldLog() { FoldLogOnClose(db_.get(), true); }

std::optional<PolicyDatabase::Trouble> PolicyDatabase::Open() {
  Close();
  if (!Lock()) {
    OpenToRead();
    return Trouble{"lock (another daemon has it, or it may not be opened)",
                   SQLITE_BUSY};
  }
  std::error_code none;
  const auto size = std::filesystem::file_size(path_, none);
  // SQLite would take it for a new database: an emptied file must not pass
  // for a first start. (One byte is nothing to it, too.)
  if (!none && size <= 1) return SetAside("the file is empty");
  if (set_aside_.empty()) FindSetAside();
  auto trouble = OpenOnce();
  if (!trouble) return std::nullopt;
  if (IsCorrupt(trouble->code)) return SetAside(trouble->doing);
  OpenToRead();
  return trouble;
}

// One daemon a file: two would each miss what the other purges or sets aside.
bool PolicyDatabase::Lock() {
  if (lock_ >= 0) return true;
  const int fd =
      open((path_ + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  // Where there is no room for it, there is none for two daemons' writes.
  if (fd < 0)
    return errno == ENOSPC || errno == EDQUOT || errno == EROFS ||
           errno == ENOENT;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return false;
  }
  lock_ = fd;
  return true;
}

// Of a process that ended before all of it was taken over.
void PolicyDatabase::FindSetAside() {
  const std::filesystem::path path(path_);
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
  if (!newest.empty()) set_aside_ = path.parent_path() / newest;
}

// A disk that takes nothing must not cost what is on it, nor a daemon that
// still has the lock: beside that one, else without shared memory beside the
// file (a full disk), else without locks (a read-only disk lets nobody have one
// to himself; after a crash most policies may be in the log), else without its
// log.
void PolicyDatabase::OpenToRead() {
  struct Way {
    const char* uri;
    const char* locking;
  };
  for (const Way& way :
       {Way{"?mode=ro", "NORMAL"}, Way{"?mode=rw", "EXCLUSIVE"},
        Way{"?vfs=unix-none&mode=ro", "EXCLUSIVE"},
        Way{"?mode=ro&immutable=1", "EXCLUSIVE"}}) {
    const int code = Connect("file:" + UriPath(path_) + way.uri,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, &db_);
    const std::string settings =
        "PRAGMA locking_mode = " + std::string(way.locking) +
        "; PRAGMA query_only = ON";
    if (code == SQLITE_OK && Execute(get(), settings.c_str()) == SQLITE_OK &&
        Ask(get(), "SELECT count(*) FROM purged")) {
      // Where it could not be brought up to date, it is read as it is.
      const auto version = Ask(get(), "PRAGMA user_version");
      columns_ = version == kSchemaVersion ? kColumns : kColumnsBefore3;
      read_only_ = version == kSchemaVersion || version == kSchemaVersion - 1;
      if (read_only_) return;
    }
    Close();
  }
}

std::optional<PolicyDatabase::Trouble> PolicyDatabase::OpenOnce() {
  std::error_code none;
  const bool is_new = !std::filesystem::exists(path_, none) && !none;
  const auto trouble = OpenOrMake();
  // On a full disk, SQLite leaves an empty file: ours, and no damaged one.
  if (trouble && is_new && std::filesystem::file_size(path_, none) <= 1 &&
      !none)
    std::filesystem::remove(path_, none);
  return trouble;
}

std::optional<PolicyDatabase::Trouble> PolicyDatabase::OpenOrMake() {
  const auto fail = [this](const std::string& what) {
    const Trouble trouble{what + " " + path_ + ": " + sqlite3_errmsg(get()),
                          sqlite3_extended_errcode(get()) & 0xff};
    Close();
    return trouble;
  };
  if (Connect(path_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db_) !=
      SQLITE_OK)
    return fail("cannot open");
  sqlite3_busy_timeout(get(), kBusyTimeoutMs);
  // Before anything is written: it may be somebody else's.
  int64_t version = 0;
  if (const auto trouble = Identify(&version)) {
    Close();
    return trouble;
  }
  // A commit is synced: FULL, where WAL's default would wait for a checkpoint.
  if (Execute(get(),
              "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
              "PRAGMA cache_size = -16384;") != SQLITE_OK)
    return fail("cannot use");
  chmod(path_.c_str(), 0640);
  columns_ = kColumns;
  if (version < kSchemaVersion && !Migrate(version))
    return fail("cannot upgrade");
  const std::string first =
      std::string("SELECT ") + kColumns + " FROM policies LIMIT 1";
  if (!Ask(get(), "SELECT count(*) FROM purged") ||
      Statement(get(), first).failed()) {
    Trouble trouble = fail("cannot use");
    // Our own tables are not there.
    if (trouble.code == SQLITE_ERROR) trouble.code = SQLITE_CORRUPT;
    return trouble;
  }
  return std::nullopt;
}

// The version of the file's schema; trouble if it is not ours.
std::optional<PolicyDatabase::Trouble> PolicyDatabase::Identify(
    int64_t* version) const {
  // One after the other: a later success would hide the error of an earlier.
  const auto found = Ask(get(), "PRAGMA user_version");
  const auto application =
      found ? Ask(get(), "PRAGMA application_id") : std::nullopt;
  const auto tables = application
                          ? Ask(get(), "SELECT count(*) FROM sqlite_master")
                          : std::nullopt;
  if (!tables)
    return Trouble{"cannot read " + path_ + ": " + sqlite3_errmsg(get()),
                   sqlite3_errcode(get())};
  *version = *found;
  const bool fresh = *tables == 0 && *application == 0;
  const bool ours = *application == kApplicationId;
  if ((fresh || ours) && *version <= kSchemaVersion) return std::nullopt;
  return Trouble{path_ + (ours ? " is of a newer version of Postern"
                               : " is not a policy file"),
                 SQLITE_NOTADB};
}

bool PolicyDatabase::Migrate(int64_t version) {
  std::string sql = "BEGIN IMMEDIATE;";
  for (int64_t step = version; step < kSchemaVersion; ++step)
    sql += kMigrations[static_cast<size_t>(step)];
  sql += "PRAGMA application_id = " + std::to_string(kApplicationId) +
         ";PRAGMA user_version = " + std::to_string(kSchemaVersion) +
         ";COMMIT;";
  if (Execute(get(), sql.c_str()) != SQLITE_OK) return false;
  if (version > 0)
    Log(LogLevel::kInfo, "policy_file_upgraded",
        {{"file", path_}, {"from", version}, {"to", kSchemaVersion}});
  return true;
}

Status PolicyDatabase::OpenBeside(bool to_write) {
  std::error_code none;
  if (!std::filesystem::exists(path_, none) && !none)
    return Error{path_ + " does not exist: no daemon has run yet"};
  // SQLite's "unable to open" would not say it.
  if (access(path_.c_str(), to_write ? W_OK : R_OK) != 0 && errno == EACCES)
    return Error{std::string("no right to ") + (to_write ? "write " : "read ") +
                 path_ + "; try as root"};
  const int code = Connect(
      path_, to_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, &db_);
  FoldLog();
  sqlite3_busy_timeout(get(), kBusyTimeoutMs);
  std::optional<int64_t> version;
  if (code == SQLITE_OK) version = Ask(get(), "PRAGMA user_version");
  if (!version)
    return Error{"cannot open " + path_ + ": " + sqlite3_errmsg(get())};
  if (*version != kSchemaVersion)
    return Error{path_ +
                 " is of another version of Postern; start the daemon "
                 "once to bring it up to date"};
  if (to_write && sqlite3_db_readonly(get(), "main") == 1)
    return Error{"no right to write " + path_ + "; try as root"};
  return Done{};
}

std::optional<PolicyDatabase::Trouble> PolicyDatabase::SetAside(
    const std::string& why) {
  Close();
  std::string aside = path_ + kAside + Stamp();
  const auto taken = [](const std::string& name) {
    std::error_code none;
    return std::filesystem::exists(name, none) ||
           std::filesystem::exists(name + kTaken, none);
  };
  for (int n = 2; taken(aside); ++n)
    aside = path_ + kAside + Stamp() + "-" + std::to_string(n);
  if (!Rename(path_, aside)) return Trouble{"set aside", SQLITE_IOERR};
  set_aside_count_.Increment();
  ++set_asides_;
  Log(LogLevel::kError, "policy_file_set_aside",
      {{"file", path_},
       {"reason", why},
       {"kept_as", aside},
       {"effect", "policies that cannot be taken over are fetched anew"},
       {"advice",
        "check the disk; delete the old file when it is not needed"}});
  std::error_code none;
  // One that is empty holds nothing to take over.
  if (set_aside_.empty() || std::filesystem::file_size(aside, none) > 1)
    set_aside_ = aside;
  std::optional<Trouble> trouble = OpenOnce();
  if (trouble) trouble->code = SQLITE_CANTOPEN;
  return trouble;
}

void PolicyDatabase::ReadSetAside(const VisitRow& visit) const {
  Database source;
  Connect(set_aside_, SQLITE_OPEN_READWRITE, &source);
  // With this, SQLite reads what is left of a file that was cut off.
  Execute(source.get(), "PRAGMA writable_schema = ON");
  const bool is_older = Statement(source.get(), std::string("SELECT ") +
                                                    kColumns + " FROM policies")
                            .failed();
  const char* columns = is_older ? kColumnsBefore3 : kColumns;
  // From both ends to where the fault is.
  for (const char* order : {"", " DESC"}) {
    Statement rows(source.get(), std::string("SELECT ") + columns +
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
      visit(domain, memory);
    }
    if (!rows.failed()) break;
  }
}

void PolicyDatabase::MarkTaken(int64_t policies) {
  const std::string from = std::exchange(set_aside_, "");
  Rename(from, from + kTaken);
  Log(LogLevel::kWarn, "policies_taken_over",
      {{"from", from + kTaken}, {"policies", policies}});
}

}  // namespace postern
