// A folder with a policy file, for tests of PolicyFile and DurableStore; and
// SQL on it from outside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "policy-daemon/policy_file.h"
#include "tests/support/full_disk.h"

namespace postern {

// 2026-11-22T13:05:07Z.
inline constexpr WallTime kNow{Seconds(1795352707)};

class PolicyFolder {
 public:
  PolicyFolder();
  ~PolicyFolder();
  PolicyFolder(const PolicyFolder&) = delete;
  PolicyFolder& operator=(const PolicyFolder&) = delete;

  std::string path() const { return folder_ + "/policies.db"; }
  std::string folder() const { return folder_; }
  // Makes this folder look like `other` now: what kill -9 leaves. Without the
  // shared memory, what the loss of power leaves.
  void TakeFrom(const PolicyFolder& other, bool with_shared_memory = true);
  // The names of files that were set aside, without their logs.
  std::vector<std::string> SetAside() const;

  std::string Read() const;
  void Write(const std::string& bytes);

  // Statements on the file, from outside. Errors fail the test.
  void Sql(const std::string& sql);
  // The first column of the first row.
  int64_t SqlNumber(const std::string& sql);

 private:
  std::string folder_;
};

// The table and its file, on one thread: what DurableStore does, at once.
class FileStore {
 public:
  struct Settings {
    std::string path;
    size_t max_policies = 1000000;
    size_t max_bytes = 128 << 20;
  };
  static std::unique_ptr<FileStore> Open(Settings settings, Metrics& metrics) {
    return std::make_unique<FileStore>(std::move(settings), metrics);
  }
  FileStore(Settings settings, Metrics& metrics);
  // Writes what is left.
  ~FileStore() { Poll(); }

  StsMemory Find(const std::string& domain);
  bool PutPolicy(const std::string& domain, StoredPolicy policy, WallTime now) {
    return table.PutPolicy(domain, std::move(policy), now);
  }
  // Writes what changed; what was purged from beside, "" for all.
  std::vector<std::string> Poll();
  void Commit() {
    if (table.HasChanges()) Poll();
  }
  size_t policies() const { return table.policies(); }

  PolicyTable table;

 private:
  PolicyFile file_;
  bool loaded_ = false;
};

// An enforce policy for `mx`, fetched `kNow`, with every time of its own.
StoredPolicy SomePolicy(const std::string& mx = "mx.example.com",
                        const std::string& id = "1",
                        Seconds max_age = Seconds(604800));
FailedFetch SomeFailure(const std::string& id = "1");

// Everything about a domain on one line, to compare and to read.
std::string Told(const StsMemory& memory);

// While it lives, SQLite cannot read any file: a faulty disk.
class UnreadableDisk {
 public:
  UnreadableDisk();
  ~UnreadableDisk();
  UnreadableDisk(const UnreadableDisk&) = delete;
  UnreadableDisk& operator=(const UnreadableDisk&) = delete;
};

}  // namespace postern
