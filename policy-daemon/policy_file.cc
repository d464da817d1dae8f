#include "policy-daemon/policy_file.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <utility>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/log.h"
#include "common/sqlite.h"

#include "policy-daemon/policy_database.h"

namespace postern {
namespace {

using sqlite::Ask;
using sqlite::Execute;
using sqlite::IsCorrupt;
using sqlite::Statement;

// Domains that have nothing but a failed fetch: anybody can make those.
constexpr int64_t kMaxFailed = 100000;
constexpr int64_t kFailedDroppedAtOnce = 1000;
// What is kept in memory while the disk refuses it.
constexpr size_t kMaxUnwrittenBytes = 64 << 20;
constexpr int kPageSize = 4096;
constexpr int64_t kTakenOverAtOnce = 1000;

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

}  // namespace

struct PolicyFile::State {
  State(Settings s, Metrics& metrics)
      : settings(std::move(s)),
        policies_gauge(
            metrics.Gauge("postern_policies", "MTA-STS policies remembered")),
        errors(metrics.Counter("postern_store_errors_total",
                               "Reads and writes of policies that failed")),
        database(settings.path, metrics) {}

  Settings settings;
  bool beside = false;  // the file is another process's, or there is none
  prometheus::Gauge& policies_gauge;
  prometheus::Counter& errors;
  LogLimiter log;

  PolicyDatabase database;
  std::unique_ptr<Statement> find;
  std::unique_ptr<Statement> put;
  std::unique_ptr<Statement> remove;
  bool taking_over = false;  // a fault of the new file is not set aside, too
  bool in_transaction = false;
  bool full = false;  // no room for newcomers
  RowCounts rows;     // without what is unwritten
  Records begun;      // written in the transaction that is open
  Records unwritten;  // refused by the disk; newer than the file
  size_t unwritten_bytes = 0;

  sqlite3* db() const { return database.get(); }
  bool CanWrite() const { return db() && !beside && !database.read_only(); }

  // --- opening ---

  void Open();
  void SetAside(const std::string& why);
  // The database has been opened, or could not be.
  void Opened(const std::optional<PolicyDatabase::Trouble>& trouble);
  // Statements end before the database is closed.
  void Release();
  void Prepare();
  void TakeOver();
  void SetRows(const std::optional<RowCounts>& counts);

  // --- reading and writing ---

  // nullopt: it cannot be read now, and must not be overwritten by a guess.
  std::optional<Record> Read(const std::string& domain);
  bool HasUnopenedFile() const {
    std::error_code none;
    return !db() && std::filesystem::exists(settings.path, none);
  }
  void Write(const std::string& domain, const Record& before, Record after);
  bool WriteToFile(const std::string& domain, const Record& record);
  void KeepUnwritten(const std::string& domain, Record record);
  // The transaction has failed.
  void KeepBegun();
  void Commit();
  // Logs, counts, and sets a corrupt file aside.
  void Failed(const std::string& what, int code);
};

void PolicyFile::State::Open() {
  Release();
  Opened(database.Open());
}

void PolicyFile::State::SetAside(const std::string& why) {
  Release();
  // What the open transaction held is not on disk.
  KeepBegun();
  Opened(database.SetAside(why));
}

void PolicyFile::State::Opened(
    const std::optional<PolicyDatabase::Trouble>& trouble) {
  if (trouble) Failed(trouble->doing, trouble->code);
  if (!db()) return;
  Prepare();
  SetRows(database.counts());
  if (!trouble) TakeOver();
}

void PolicyFile::State::Release() {
  find.reset();
  put.reset();
  remove.reset();
  in_transaction = false;
}

void PolicyFile::State::Prepare() {
  const std::string columns = kColumns;
  find = std::make_unique<Statement>(
      db(), "SELECT " + columns + " FROM policies WHERE domain = ?");
  put = std::make_unique<Statement>(
      db(), "INSERT OR REPLACE INTO policies(" + columns +
                ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)");
  remove = std::make_unique<Statement>(db(),
                                       "DELETE FROM policies WHERE domain = ?");
}

// Writes what can be read of the file that was set aside.
void PolicyFile::State::TakeOver() {
  if (!database.HasSetAside()) return;
  taking_over = true;
  // It is older than what waits to be written.
  Records newer = std::exchange(unwritten, {});
  unwritten_bytes = 0;
  int64_t taken = 0;
  database.ReadSetAside(
      [&](const std::string& domain, const StsMemory& memory) {
        // What has been fetched since is newer.
        const auto held = Read(domain);
        if (!held || HasPolicy(*held)) return;
        Write(domain, *held, memory);
        if (++taken % kTakenOverAtOnce == 0) Commit();
      });
  Commit();
  const bool written = db() && unwritten.empty();
  for (auto& [domain, record] : newer) KeepUnwritten(domain, std::move(record));
  SetRows(CountRows(db()));
  taking_over = false;
  // A start in between must do it again; a later one must not.
  if (written) database.MarkTaken(taken);
}

void PolicyFile::State::SetRows(const std::optional<RowCounts>& counts) {
  if (!counts) return;
  rows = *counts;
  policies_gauge.Set(static_cast<double>(rows.policies));
}

void PolicyFile::State::KeepBegun() {
  Records lost = std::exchange(begun, {});
  for (auto& [domain, record] : lost)
    if (!unwritten.contains(domain)) KeepUnwritten(domain, std::move(record));
}

std::optional<Record> PolicyFile::State::Read(const std::string& domain) {
  for (bool again = true;; again = false) {
    if (const auto found = unwritten.find(domain); found != unwritten.end())
      return found->second;
    if (!db()) return Record();
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
  if (!unwritten.empty() || !CanWrite())
    return KeepUnwritten(domain, std::move(after));
  if (!in_transaction) {
    const int code = Execute(db(), "BEGIN IMMEDIATE");
    if (code != SQLITE_OK) {
      KeepUnwritten(domain, std::move(after));
      return Failed("write", code);
    }
    in_transaction = true;
  }
  if (!WriteToFile(domain, after)) {
    const int code = sqlite3_errcode(db());
    // Some faults end the whole transaction: what it held is newer than what
    // the file holds now.
    if (sqlite3_get_autocommit(db())) {
      in_transaction = false;
      KeepBegun();
      SetRows(CountRows(db()));
    }
    KeepUnwritten(domain, std::move(after));
    return Failed("write", code);
  }
  rows.policies += HasPolicy(after) - HasPolicy(before);
  rows.failures += HasOnlyFailure(after) - HasOnlyFailure(before);
  begun[domain] = std::move(after);
  if (rows.failures > kMaxFailed)
    rows.failures -= DropOldestFailures(db(), kFailedDroppedAtOnce);
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

void PolicyFile::State::Failed(const std::string& what, int code) {
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
  if (IsCorrupt(code) && CanWrite() && !taking_over) SetAside(why);
}

PolicyFile::PolicyFile(std::unique_ptr<State> state)
    : state_(std::move(state)) {}

PolicyFile::~PolicyFile() {
  Commit();
  if (!state_->unwritten.empty()) Poll();
  // All is well: fold the log into the file.
  if (state_->db() && !state_->beside) state_->database.FoldLog();
}

std::unique_ptr<PolicyFile> PolicyFile::Open(Settings settings,
                                             Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(settings), metrics);
  state->Open();
  return std::unique_ptr<PolicyFile>(new PolicyFile(std::move(state)));
}

Result<std::unique_ptr<PolicyFile>> PolicyFile::OpenBeside(
    const std::string& path, Access access, Metrics& metrics) {
  auto state = std::make_unique<State>(Settings{path}, metrics);
  state->beside = true;
  const Status opened = state->database.OpenBeside(access == Access::kPurge);
  if (!opened) return opened.error();
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
  memory.unread = !record || (!HasPolicy(*record) && state_->HasUnopenedFile());
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
      state.rows.policies >= static_cast<int64_t>(state.settings.max_policies);
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
  if (!state_->db()) return domains;
  const int code =
      VisitDue(state_->db(), now, limit, [&](const std::string& domain) {
        if (domains.size() < limit && !state_->unwritten.contains(domain))
          domains.push_back(domain);
        return domains.size() < limit;
      });
  if (code != SQLITE_OK) state_->Failed("read", code);
  return domains;
}

void PolicyFile::Commit() { state_->Commit(); }

void PolicyFile::State::Commit() {
  if (!std::exchange(in_transaction, false)) return;
  const int code = Execute(db(), "COMMIT");
  if (code != SQLITE_OK) {
    Execute(db(), "ROLLBACK");
    KeepBegun();
    Failed("commit", code);
    if (db()) SetRows(CountRows(db()));
    return;
  }
  begun.clear();
  const int64_t pages = Ask(db(), "PRAGMA page_count").value_or(0) -
                        Ask(db(), "PRAGMA freelist_count").value_or(0);
  full = static_cast<uint64_t>(pages) * kPageSize >= settings.max_bytes;
  policies_gauge.Set(static_cast<double>(rows.policies));
}

Status PolicyFile::ForEach(const Visit& visit) {
  const int code = VisitRows(state_->db(), visit);
  if (code == SQLITE_OK) return Done{};
  return Error{"cannot read " + state_->settings.path + ": " +
               sqlite3_errstr(code)};
}

Result<uint64_t> PolicyFile::Purge(const std::string& domain) {
  auto purged = PurgeRows(state_->db(), domain);
  if (purged) return purged;
  return Error{"cannot write " + state_->settings.path + ": " +
               purged.error().message};
}

std::vector<std::string> PolicyFile::Poll() {
  State& state = *state_;
  std::vector<std::string> domains;
  if (state.beside) return domains;
  if (!state.CanWrite()) state.Open();
  Commit();
  if (!state.CanWrite()) return domains;
  // A purge goes before what waits to be written: it may be older.
  domains = TakePurged(state.db());
  for (const std::string& domain : domains) {
    if (domain.empty()) state.unwritten.clear();
    state.unwritten.erase(domain);
  }
  if (!domains.empty()) state.SetRows(CountRows(state.db()));
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

uint64_t PolicyFile::policies() const {
  return static_cast<uint64_t>(state_->rows.policies);
}

}  // namespace postern
