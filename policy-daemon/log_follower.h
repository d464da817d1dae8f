// LogFollower: the lines of a log file, as they are added.
//
//   rename, new file    the old one is read to its end, then the new one from
//                       its beginning; the old one has ended when the new one
//                       has its first bytes (a log has one writer)
//   truncated           (copytruncate) from the beginning
//   missing             until it is there
//   a torn last line    when its end has come
//   too long a line     left out
//
// The position: device, inode, offset, and the bytes before it. These tell a
// file that was truncated and has grown again, and a new one that was given an
// old one's inode. After a restart, a file that was renamed meanwhile is looked
// for beside the log, and finished first.
//
//   postern-log-position 1
//   <device> <inode> <offset> <the bytes before it, in hex>-
//   <path of the log>
//
// What was written while nobody read is read, up to Settings::max_catch_up:
// those sessions have no queries, and are counted as such instead of passed
// over in silence. Where that is too much, the end of the file counts as read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include "common/file_descriptor.h"

#include "policy-daemon/log_source.h"

namespace postern {

class LogFollower final : public LogSource {
 public:
  struct Settings {
    size_t chunk = 64 * 1024;  // read at once
    uint64_t max_catch_up = 64 << 20;
  };
  // Begins at the position remembered in `position_path`.
  LogFollower(std::string path, std::string position_path, Settings settings);
  ~LogFollower() override { Save(); }

  bool ReadSome(SteadyTime now, const Take& take) override;
  void Save() override;
  const std::string& problem() const override { return problem_; }
  const std::string& save_problem() const override { return save_problem_; }

 private:
  // Enough to hold the time and the process of a line.
  static constexpr size_t kTail = 64;

  struct File {
    FileDescriptor descriptor;
    struct stat status;
  };
  struct Position {
    uint64_t device = 0;
    uint64_t inode = 0;
    uint64_t offset = 0;
    std::string tail;  // the bytes before it
  };

  std::optional<File> Open(const std::string& path);
  void Resume();
  std::optional<File> Find(const Position& position) const;
  void StartWithin(File file, uint64_t offset, std::string tail);
  void StartAt(File file, uint64_t offset, std::string tail);
  void StartAtEnd(File file);
  bool IsReplaced() const;
  bool ReadChunk(const Take& take);
  void TakeLines(std::string_view found, const Take& take);
  void PassOver(std::string_view found, size_t bytes);
  void NotePosition();

  const std::string path_;
  const std::string position_path_;
  const Settings settings_;
  std::vector<char> buffer_;
  std::optional<File> file_;
  uint64_t offset_ = 0;               // what is before it has been taken
  std::string tail_;                  // the bytes before it
  bool skipping_ = false;             // in a line of which nothing is taken
  std::optional<Position> position_;  // at the beginning of a line
  bool absent_ = false;               // there was no file, when last looked
  bool saved_ = true;
  SteadyTime saved_at_{};
  std::string problem_;
  std::string save_problem_;
};

}  // namespace postern
