// PolicyFile: the remembered policies on disk, in SQLite.
//
// One row a domain. It is read once, at the start, and written from what is in
// memory (policy_table.h). A file that is corrupt is set aside under another
// name, never emptied; what can still be read of it is taken over. WAL mode:
// `postern-policy cache` reads the file beside the running daemon
// (PolicyFileBeside), and purges by leaving word in it.
//
// Contract: blocking; one thread at a time. Nothing that is wrong with a disk
// is an error here: it is logged and counted, and tried again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/metrics.h"
#include "common/result.h"

#include "policy-daemon/policy_database.h"
#include "policy-daemon/policy_table.h"

namespace postern {

class PolicyFile {
 public:
  // Touches nothing yet.
  PolicyFile(std::string path, Metrics& metrics);
  ~PolicyFile();
  PolicyFile(const PolicyFile&) = delete;
  PolicyFile& operator=(const PolicyFile&) = delete;

  // Opens the file, or makes it, and fills `table`. False: it could not be read
  // now, at least not in full.
  bool Load(PolicyTable& table);

  struct Outcome {
    bool written = false;
    // The file has been set aside, and the new one holds nothing.
    bool replaced = false;
    // Purged from beside since the last call. Then nothing has been written:
    // the rows may be older.
    std::vector<Purged> purged;
  };
  // All rows, or none. `is_all`: nothing else waits to be written.
  Outcome Write(const std::vector<PolicyRow>& rows, bool is_all);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The file as it stands, beside the daemon that owns it; nothing is made.
class PolicyFileBeside {
 public:
  enum class Access { kRead, kPurge };
  static Result<std::unique_ptr<PolicyFileBeside>> Open(const std::string& path,
                                                        Access access,
                                                        Metrics& metrics);

  StsMemory Find(const std::string& domain) const;
  // Calls `visit` for each domain, in order of names.
  Status ForEach(const VisitRow& visit) const;
  // Forgets a domain, "" for all, and leaves word for the daemon. The number of
  // domains that were there.
  Result<uint64_t> Purge(const std::string& domain, WallTime at);

 private:
  PolicyFileBeside(const std::string& path, Metrics& metrics);

  std::string path_;
  std::unique_ptr<PolicyDatabase> database_;
};

}  // namespace postern
