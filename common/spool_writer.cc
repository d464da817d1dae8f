#include "common/spool_writer.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/privileges.h"
#include "common/spool_files.h"

namespace postern {
namespace {

constexpr uint64_t kLookedAtBytes = 16 << 20;
constexpr uint64_t kUsualMinFree = 1 << 30;

Error Failed(const std::string& what, const std::string& path, int code) {
  const char* advice = "";
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      advice = "; make room, and it goes on by itself";
      break;
    case EROFS:
      advice = "; mount it writable, and it goes on by itself";
      break;
    case ENOENT:
    case ENOTDIR:
      advice = "; make the folder, or correct spool.directory";
      break;
    case EACCES:
    case EPERM:
      advice = "; its folder must belong to run.user";
      break;
  }
  return Error{"cannot " + what + " " + path + ": " + std::strerror(code) +
               advice};
}

// In how many lines of a write cut short nothing is missing. A '\n' is added
// to what stands at the end (SpoolFile::Open), and may complete a line.
size_t WholeLines(std::string_view lines, size_t written) {
  const bool only_end_missing = written > 0 && written < lines.size() &&
                                lines[written] == '\n' &&
                                lines[written - 1] != '\n';
  size_t whole = only_end_missing ? 1 : 0;
  // By memchr(): std::count took a tenth of all that an outcome costs.
  for (size_t at = 0; (at = lines.find('\n', at)) < written; ++at) ++whole;
  return whole;
}

// write(2) until all is written; else errno says why not.
bool Write(int fd, std::string_view bytes, size_t& written) {
  written = 0;
  while (written < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    written += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

SpoolFile::SpoolFile(std::string path, FileDescriptor fd)
    : path_(std::move(path)), fd_(std::move(fd)) {}

Result<std::shared_ptr<const SpoolFile>> SpoolFile::Open(
    const std::string& path) {
  FileDescriptor fd(
      open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) return Failed("open", path, errno);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return Failed("look at", path, errno);
  if (!S_ISREG(info.st_mode))
    return Error{path + " is no file; move it out of the way"};
  char last = '\n';
  if (info.st_size > 0 && pread(fd.get(), &last, 1, info.st_size - 1) != 1)
    return Failed("read", path, errno);
  size_t written = 0;
  if (last != '\n' && !Write(fd.get(), "\n", written))
    return Failed("append to", path, errno);
  return std::shared_ptr<const SpoolFile>(new SpoolFile(path, std::move(fd)));
}

Status SpoolFile::Sync() const {
  if (fdatasync(fd_.get()) != 0) return Failed("sync", path_, errno);
  return Done{};
}

bool SpoolFile::IsAtItsPath() const {
  struct stat open {};
  struct stat there {};
  return fstat(fd_.get(), &open) == 0 && stat(path_.c_str(), &there) == 0 &&
         open.st_dev == there.st_dev && open.st_ino == there.st_ino;
}

uint64_t SpoolFile::Size() const {
  struct stat info {};
  return fstat(fd_.get(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

SpoolWriter::SpoolWriter(std::string directory, Limits limits)
    : directory_(std::move(directory)), limits_(limits) {}

Status SpoolWriter::Open(WallTime now) {
  const std::string path = SpoolPath(directory_, DayOf(now));
  const bool looked = std::exchange(looked_at_, now) == now;
  if (!file_ || file_->path() != path || !(looked || file_->IsAtItsPath())) {
    file_ = nullptr;
    const Status made = PrepareFolder(directory_, "", "");
    if (!made) return made;
    auto opened = SpoolFile::Open(path);
    if (!opened) return opened.error();
    file_ = *opened;
    bytes_ = file_->Size();
  } else if (looked && unlooked_ < kLookedAtBytes) {
    return Done{};
  }
  const Status free = CheckFreeSpace();
  if (free)
    unlooked_ = 0;
  else
    looked_at_ = {};  // and again at the next line
  return free;
}

Status SpoolWriter::CheckFreeSpace() const {
  struct statvfs space {};
  // A file system that does not tell has its own way to refuse.
  if (limits_.min_free == 0u || fstatvfs(file_->fd_.get(), &space) != 0)
    return Done{};
  const uint64_t all = uint64_t{space.f_blocks} * space.f_frsize;
  const uint64_t free = uint64_t{space.f_bavail} * space.f_frsize;
  const uint64_t wanted =
      limits_.min_free.value_or(std::min(all / 20, kUsualMinFree));
  if (free >= wanted) return Done{};
  return Error{"the file system of " + directory_ + " has " +
               std::to_string(free >> 20) + " MiB left, and spool.min_free " +
               "keeps " + std::to_string(wanted >> 20) +
               " MiB for others; make room, and it goes on by itself"};
}

size_t SpoolWriter::Fitting(std::string_view lines) const {
  const uint64_t room = limits_.max_bytes - std::min(limits_.max_bytes, bytes_);
  if (lines.size() <= room) return lines.size();
  const size_t end = lines.substr(0, room).rfind('\n');
  return end == lines.npos ? 0 : end + 1;
}

SpoolWriter::Appended SpoolWriter::Append(WallTime now,
                                          std::string_view lines) {
  assert(lines.empty() || lines.back() == '\n');
  const Status opened = Open(now);
  if (!opened) return {0, opened.error().message};
  Appended appended;
  const size_t fitting = Fitting(lines);
  size_t written = 0;
  const bool done = Write(file_->fd_.get(), lines.substr(0, fitting), written);
  appended.lines = WholeLines(lines.substr(0, fitting), written);
  bytes_ += written;
  unlooked_ += written;
  if (!done) {
    appended.error = Failed("append to", file_->path(), errno).message;
    file_ = nullptr;
  } else if (fitting < lines.size()) {
    appended.error = file_->path() +
                     " has reached spool.max_bytes; what comes today is not "
                     "written. See who fills it (postern-policy failures), or "
                     "raise it";
  }
  return appended;
}

}  // namespace postern
