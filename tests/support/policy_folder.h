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
