#include "report-sender/queue_takeover.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_descriptor.h"

namespace postern {
namespace {

constexpr char kQueue[] = "reports.db";
// What was written last, of a process that did not come to close the file.
constexpr char kLog[] = "reports.db-wal";
constexpr char kCopy[] = "reports.db.taken-over";

FileDescriptor Folder(int at, const char* path, int flags) {
  return FileDescriptor(
      openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
}

bool CopyBytes(int from, int to) {
  std::array<char, 65536> bytes;
  for (;;) {
    const ssize_t count = read(from, bytes.data(), bytes.size());
    if (count <= 0) return count == 0 && fsync(to) == 0;
    // A disk that is full takes less than that.
    if (write(to, bytes.data(), static_cast<size_t>(count)) != count)
      return false;
  }
}

// False, and errno: ENOENT where there is no such file.
bool Copy(int from_folder, const char* from, int to_folder, const char* to) {
  const FileDescriptor source(openat(
      from_folder, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!source || fstat(source.get(), &info) != 0) return false;
  errno = EINVAL;
  if (!S_ISREG(info.st_mode)) return false;
  const FileDescriptor target(
      openat(to_folder, to,
             O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640));
  return target && CopyBytes(source.get(), target.get());
}

}  // namespace

Result<bool> TakeOverQueue(const std::string& spool,
                           const std::string& folder) {
  const std::string old = spool + "/reports";
  const auto failed = [&] {
    return Error{"cannot take over the reports that wait in " + old + ": " +
                 std::strerror(errno) +
                 "; let report.user read them, or move " + old +
                 " away: then days that are in the spool are reported anew"};
  };
  const FileDescriptor to = Folder(AT_FDCWD, folder.c_str(), 0);
  if (!to || flock(to.get(), LOCK_EX) != 0) return failed();
  // Looked at under the lock.
  if (faccessat(to.get(), kQueue, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return false;
  const FileDescriptor parent = Folder(AT_FDCWD, spool.c_str(), 0);
  const FileDescriptor from =
      parent ? Folder(parent.get(), "reports", O_NOFOLLOW) : FileDescriptor();
  if (!from && (errno == ENOENT || errno == ENOTDIR)) return false;
  if (!from) return failed();
  if (!Copy(from.get(), kQueue, to.get(), kCopy)) {
    if (errno == ENOENT) return false;
    return failed();
  }
  if (!Copy(from.get(), kLog, to.get(), kLog) && errno != ENOENT)
    return failed();
  // Only with this it counts.
  if (renameat(to.get(), kCopy, to.get(), kQueue) != 0 || fsync(to.get()) != 0)
    return failed();
  return true;
}

}  // namespace postern
