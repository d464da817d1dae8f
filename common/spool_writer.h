// SpoolWriter: appends lines to the spool, <directory>/2026-11-22.jsonl.
//
// What it does for the reader: a line is written at once with its '\n', to the
// file of the UTC day it came in. Where a file ends amid a line (the power
// went, the process was killed, the disk was full), the next append begins a
// new one, so that the torn line spoils no other.
//
// What it does for the operator: everything about the folder may change while
// it runs. After an error, and when the file has been moved or deleted (looked
// at once a second), it starts over: makes the folder, opens the file. So a
// disk that has room again needs no restart.
//
// What it does for the mail beside it: a day's file ends at `max_bytes`, and
// nothing is written while the file system has less than `min_free`. Free space
// is looked at once a second, and every 16 MiB.
//
// Contract: one thread, one writer a folder. Append() blocks on the disk, but
// does not sync: that is file()->Sync(), from any thread. Nothing is logged;
// error texts are for the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/file_descriptor.h"
#include "common/result.h"
#include "common/utc.h"

namespace postern {

// An open day file. It has two owners: the writer, and who syncs it, which may
// be on the way after midnight.
class SpoolFile {
 public:
  // Opens it for appending, at the beginning of a line.
  static Result<std::shared_ptr<const SpoolFile>> Open(const std::string& path);

  // What has been written is on disk. From any thread.
  Status Sync() const;

  const std::string& path() const { return path_; }

 private:
  friend class SpoolWriter;
  SpoolFile(std::string path, FileDescriptor fd);

  bool IsAtItsPath() const;
  uint64_t Size() const;

  std::string path_;
  FileDescriptor fd_;
};

class SpoolWriter {
 public:
  struct Limits {
    uint64_t max_bytes = UINT64_MAX;  // of a day's file
    // In bytes; nullopt: 5 % of the file system or 1 GiB, whichever is less.
    std::optional<uint64_t> min_free = 0;
  };
  // The folder that holds it must be there; it is made itself.
  explicit SpoolWriter(std::string directory) : SpoolWriter(directory, {}) {}
  SpoolWriter(std::string directory, Limits limits);

  struct Appended {
    size_t lines = 0;   // from the first on, whole in the file
    std::string error;  // "": these are all
  };
  // REQUIRES: `lines` ends with '\n', or is empty.
  Appended Append(WallTime now, std::string_view lines);

  // What Append() has open; nullptr before the first, and after an error of the
  // file's.
  std::shared_ptr<const SpoolFile> file() const { return file_; }

  // Of the file; 0 without one.
  uint64_t bytes() const { return file_ ? bytes_ : 0; }

 private:
  Status Open(WallTime now);
  Status CheckFreeSpace() const;
  // Up to where they may be written.
  size_t Fitting(std::string_view lines) const;

  std::string directory_;
  Limits limits_;
  std::shared_ptr<const SpoolFile> file_;
  uint64_t bytes_ = 0;     // of file_, as far as we know
  uint64_t unlooked_ = 0;  // written since free space was looked at
  WallTime looked_at_{};   // whether the file is still at its path
};

}  // namespace postern
