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
// Contract: one thread, one writer a folder. Append() blocks on the disk, but
// does not sync: that is file()->Sync(), from any thread. Nothing is logged;
// error texts are for the log.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

  std::string path_;
  FileDescriptor fd_;
};

class SpoolWriter {
 public:
  // The folder that holds it must be there; it is made itself.
  explicit SpoolWriter(std::string directory);

  struct Appended {
    size_t lines = 0;   // from the first on, whole in the file
    std::string error;  // "": these are all
  };
  // REQUIRES: `lines` ends with '\n', or is empty.
  Appended Append(WallTime now, std::string_view lines);

  // What Append() has open; nullptr before the first, and after an error.
  std::shared_ptr<const SpoolFile> file() const { return file_; }

  struct Expired {
    std::vector<std::string> removed;  // paths
    std::string error;                 // "": all that was due
  };
  // Removes the files of days more than `keep_days` before today.
  Expired Expire(WallTime now, int keep_days) const;

 private:
  Status Open(WallTime now);

  std::string directory_;
  std::shared_ptr<const SpoolFile> file_;
  WallTime looked_at_{};  // whether the file is still at its path
};

}  // namespace postern
