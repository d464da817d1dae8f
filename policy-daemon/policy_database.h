// PolicyDatabase: policies.db, found, locked and opened, whatever became of it.
//
// The file may be missing, of an older version, another daemon's, on a disk
// that takes nothing, or corrupt. Each has its way here, so that PolicyFile
// knows three states: open, open to read, closed. A corrupt file is set aside
// under another name, never emptied, with a new one in its place; what can
// still be read of it is read here, and written by PolicyFile.
//
// Contract: blocking; one thread at a time. Statements on the database end
// before whatever opens or closes it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/metrics.h"
#include "common/result.h"
#include "common/sqlite.h"

#include "policy-daemon/policy_schema.h"

namespace postern {

class PolicyDatabase {
 public:
  PolicyDatabase(std::string path, Metrics& metrics);
  ~PolicyDatabase();
  PolicyDatabase(const PolicyDatabase&) = delete;
  PolicyDatabase& operator=(const PolicyDatabase&) = delete;

  // Why it is not open to write.
  struct Trouble {
    std::string doing;
    int code;  // SQLite's; never one that asks for the file to be set aside
  };
  // Opens the file, or makes it; brings it to this version's schema; sets it
  // aside where it is corrupt. After trouble, it may be called again.
  std::optional<Trouble> Open();
  // For a look at a file that a daemon may be using. Nothing is made.
  Status OpenBeside(bool to_write);
  // For what shows only later. As Open().
  std::optional<Trouble> SetAside(const std::string& why);
  void Close();
  // All is well: when it is closed, the log is folded into the file.
  void FoldLog();

  // nullptr: closed.
  sqlite3* get() const { return db_.get(); }
  bool read_only() const { return read_only_; }
  // What to select of `policies` for ReadRow().
  const char* columns() const { return columns_; }
  // Files set aside by this process so far: what has been written is gone.
  int set_aside() const { return set_asides_; }

  // A file was set aside, by this process or one that ended too soon, and
  // waits to be taken over.
  bool HasSetAside() const { return !set_aside_.empty(); }
  // Calls `visit` for each policy in it that can be read and makes sense, for
  // some twice.
  void ReadSetAside(const VisitRow& visit) const;
  // What was read, `policies`, is written: no later start takes it over.
  void MarkTaken(int64_t policies);

 private:
  std::optional<Trouble> OpenOnce();
  std::optional<Trouble> OpenOrMake();
  std::optional<Trouble> Identify(int64_t* version) const;
  bool Migrate(int64_t version);
  bool Lock();
  void FindSetAside();
  void OpenToRead();

  std::string path_;
  prometheus::Counter& set_aside_count_;
  sqlite::Database db_;
  bool read_only_ = false;
  const char* columns_ = kColumns;
  int set_asides_ = 0;
  std::string set_aside_;  // its path, until it is taken over
  int lock_ = -1;          // held as long as the process lives
};

}  // namespace postern
