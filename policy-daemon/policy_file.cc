#include "policy-daemon/policy_file.h"

#include <chrono>
#include <exception>
#include <filesystem>
#include <optional>
#include <utility>

#include "common/domain_name.h"
#include "common/log.h"
#include "common/sqlite.h"

namespace postern {
namespace {

using sqlite::Execute;
using sqlite::IsCorrupt;
using sqlite::Statement;

}  // namespace

struct PolicyFile::State {
  State(std::string p, Metrics& metrics)
      : path(std::move(p)),
        errors(metrics.Counter("postern_store_errors_total",
                               "Reads and writes of policies that failed")),
        database(path, metrics) {}

  std::string path;
  prometheus::Counter& errors;
  LogLimiter log;
  PolicyDatabase database;
  int64_t taken_over = 0;  // from the file that was set aside

  sqlite3* db() const { return database.get(); }
  bool CanWrite() const { return db() && !database.read_only(); }

  void Open() {
    if (const auto trouble = database.Open())
      Failed(trouble->doing, trouble->code);
  }
  // Logs, counts, and sets a corrupt file aside.
  void Failed(const std::string& what, int code);
  void LoadRow(PolicyTable& table, const std::string& domain,
               const StsMemory& memory, bool is_written);
  bool WriteRows(const std::vector<PolicyRow>& rows);
};

void PolicyFile::State::Failed(const std::string& what, int code) {
  errors.Increment();
  const std::string why = sqlite3_errstr(code);
  uint64_t suppressed = 0;
  if (log.Allow(std::chrono::steady_clock::now(), &suppressed))
    Log(LogLevel::kError, "policy_file_failed",
        {{"file", path},
         {"doing", what},
         {"reason", why},
         {"effect", "policies are kept in memory until they can be written"},
         {"suppressed", suppressed}});
  if (!IsCorrupt(code) || !CanWrite()) return;
  if (const auto trouble = database.SetAside(why))
    Failed(trouble->doing, trouble->code);
}

PolicyFile::PolicyFile(std::string path, Metrics& metrics)
    : state_(std::make_unique<State>(std::move(path), metrics)) {}

PolicyFile::~PolicyFile() {
  // All is well: fold the log into the file.
  if (state_->db()) state_->database.FoldLog();
}

void PolicyFile::State::LoadRow(PolicyTable& table, const std::string& domain,
                                const StsMemory& memory, bool is_written) {
  // What is wrong with one row is no other domain's affair.
  try {
    if (IsNormalDomain(domain) && (memory.policy || memory.failure))
      table.Load(domain, memory, is_written);
  } catch (const std::exception& error) {
    errors.Increment();
    Log(LogLevel::kError, "policy_row_skipped", {{"reason", error.what()}});
  }
}

bool PolicyFile::Load(PolicyTable& table) {
  State& state = *state_;
  state.Open();
  bool complete = true;
  if (state.db()) {
    const int code =
        VisitRows(state.db(), state.database.columns(),
                  [&](const std::string& domain, const StsMemory& memory) {
                    state.LoadRow(table, domain, memory, /*is_written=*/true);
                  });
    if (code != SQLITE_OK) {
      const int before = state.database.set_aside();
      state.Failed("read", code);
      // What was read is in the old file alone.
      if (state.database.set_aside() != before) {
        table.Distrust();
        table.MarkAllChanged();
      } else {
        complete = false;
      }
    }
  } else {
    std::error_code none;
    complete = !std::filesystem::exists(state.path, none) && !none;
  }
  if (state.CanWrite() && state.database.HasSetAside())
    state.database.ReadSetAside(
        [&](const std::string& domain, const StsMemory& memory) {
          ++state.taken_over;
          state.LoadRow(table, domain, memory, /*is_written=*/false);
        });
  return complete;
}

PolicyFile::Outcome PolicyFile::Write(const std::vector<PolicyRow>& rows,
                                      bool is_all) {
  State& state = *state_;
  Outcome outcome;
  const int before = state.database.set_aside();
  if (!state.CanWrite()) state.Open();
  if (state.CanWrite()) {
    int code = Execute(state.db(), "BEGIN IMMEDIATE");
    if (code == SQLITE_OK) {
      outcome.purged = TakePurged(state.db());
      const bool ready = !outcome.purged.empty() || state.WriteRows(rows);
      code = ready ? Execute(state.db(), "COMMIT")
                   : sqlite3_errcode(state.db()) & 0xff;
      outcome.written = code == SQLITE_OK && outcome.purged.empty();
      if (code != SQLITE_OK) {
        outcome.purged.clear();
        Execute(state.db(), "ROLLBACK");
      }
    }
    if (code != SQLITE_OK) state.Failed("write", code);
  }
  outcome.replaced = state.database.set_aside() != before;
  if (outcome.replaced) outcome.written = false;
  if (outcome.written && is_all && state.database.HasSetAside())
    state.database.MarkTaken(std::exchange(state.taken_over, 0));
  return outcome;
}

bool PolicyFile::State::WriteRows(const std::vector<PolicyRow>& rows) {
  if (rows.empty()) return true;
  Statement put(db(), std::string("INSERT OR REPLACE INTO policies(") +
                          kColumns +
                          ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  Statement remove(db(), "DELETE FROM policies WHERE domain = ?");
  for (const auto& [domain, memory] : rows) {
    if (memory.policy || memory.failure) {
      WriteRow(put, domain, memory);
    } else {
      remove.Bind(1, domain).Step();
      remove.Reset();
    }
    if (put.failed() || remove.failed()) return false;
  }
  return true;
}

PolicyFileBeside::PolicyFileBeside(const std::string& path, Metrics& metrics)
    : path_(path), database_(std::make_unique<PolicyDatabase>(path, metrics)) {}

Result<std::unique_ptr<PolicyFileBeside>> PolicyFileBeside::Open(
    const std::string& path, Access access, Metrics& metrics) {
  std::unique_ptr<PolicyFileBeside> file(new PolicyFileBeside(path, metrics));
  const Status opened = file->database_->OpenBeside(access == Access::kPurge);
  if (!opened) return opened.error();
  return file;
}

StsMemory PolicyFileBeside::Find(const std::string& domain) const {
  Statement find(database_->get(), std::string("SELECT ") + kColumns +
                                       " FROM policies WHERE domain = ?");
  StsMemory memory;
  if (find.Bind(1, domain).Step()) memory = ReadRow(find);
  memory.unread = find.failed();
  return memory;
}

Status PolicyFileBeside::ForEach(const VisitRow& visit) const {
  const int code = VisitRows(database_->get(), kColumns, visit);
  if (code == SQLITE_OK) return Done{};
  return Error{"cannot read " + path_ + ": " + sqlite3_errstr(code)};
}

Result<uint64_t> PolicyFileBeside::Purge(const std::string& domain,
                                         WallTime at) {
  auto purged = PurgeRows(database_->get(), domain, at);
  if (purged) return purged;
  return Error{"cannot write " + path_ + ": " + purged.error().message};
}

}  // namespace postern
