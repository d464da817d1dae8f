#include "policy-daemon/postfix_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

#include "policy-daemon/postfix_settings.h"

namespace postern {
namespace {

// master.cf has some 10 KiB; who has a hundred times that has tables for it.
constexpr size_t kMaxConfigBytes = 1 << 24;

Error Failed(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash + 1);
}

Status SyncFolder(const std::string& path) {
  const FileDescriptor folder(
      open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || fsync(folder.get()) != 0)
    return Failed("cannot sync " + FolderOf(path));
  return Done{};
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

// As Postfix reads: a line that begins with a blank goes on with the one
// before, comments and empty lines in between or not.
std::vector<std::string> LogicalLines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::string_view line : SplitList(text, "\n")) {
    const std::string words = WithSingleBlanks(line);
    if (words.empty() || words.starts_with('#')) continue;
    if (IsBlank(line.front()) && !lines.empty())
      lines.back() += " " + words;
    else
      lines.push_back(words);
  }
  for (std::string& line : lines) {
    // "name=value", however it is spaced.
    const size_t equals = line.find('=');
    const size_t blank = line.find(' ');
    if (equals == line.npos || (blank != line.npos && blank + 1 < equals))
      continue;
    line = std::string(TrimBlanks(line.substr(0, equals))) + "=" +
           std::string(TrimBlanks(line.substr(equals + 1)));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

Result<std::string> ReadAll(int fd, size_t max_bytes) {
  std::string text;
  std::array<char, 16384> bytes;
  for (;;) {
    const ssize_t count = read(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error{std::strerror(errno)};
    if (count == 0) return text;
    text.append(bytes.data(), static_cast<size_t>(count));
    if (text.size() > max_bytes) return Error{"it is too long"};
  }
}

Result<std::string> ReadFile(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Failed("cannot read " + path);
  auto text = ReadAll(file.get(), kMaxConfigBytes);
  if (!text) return Error{"cannot read " + path + ": " + text.error().message};
  return text;
}

Status WriteDurably(const std::string& path, const std::string& text,
                    const FileOwner& owner) {
  const std::string temporary = path + ".new";
  const auto failed = [&] {
    Error error = Failed("cannot write " + path);
    unlink(temporary.c_str());
    return error;
  };
  // What a killed setup left; we hold the lock.
  unlink(temporary.c_str());
  const FileDescriptor file(
      open(temporary.c_str(),
           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return Failed("cannot write " + path);
  const bool is_others =
      owner.user && (*owner.user != geteuid() || *owner.group != getegid());
  if (is_others && fchown(file.get(), *owner.user, *owner.group) != 0)
    return failed();
  if (fchmod(file.get(), owner.mode & 07777) != 0 ||
      !WriteAll(file.get(), text) || fsync(file.get()) != 0 ||
      rename(temporary.c_str(), path.c_str()) != 0)
    return failed();
  return SyncFolder(path);
}

Result<FileOwner> OwnerOf(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return Failed("cannot read " + path);
  return FileOwner{status.st_mode & 07777, status.st_uid, status.st_gid};
}

Status SetOwner(const std::string& path, const FileOwner& owner) {
  const auto now = OwnerOf(path);
  if (!now) return now.error();
  const auto failed = [&] {
    return Failed("cannot set mode and owner of " + path);
  };
  const bool is_others = owner.user != now->user || owner.group != now->group;
  if (is_others && chown(path.c_str(), *owner.user, *owner.group) != 0)
    return failed();
  // A change of the owner takes some bits away.
  if ((is_others || owner.mode != now->mode) &&
      chmod(path.c_str(), owner.mode) != 0)
    return failed();
  return Done{};
}

Status CopyDurably(const std::string& from, const std::string& to) {
  const auto owner = OwnerOf(from);
  if (!owner) return owner.error();
  const auto text = ReadFile(from);
  if (!text) return text.error();
  return WriteDurably(to, *text, *owner);
}

Result<std::string> MoveAside(const std::string& path) {
  const time_t now = time(nullptr);
  struct tm utc {};
  std::array<char, 32> stamp;
  if (!gmtime_r(&now, &utc) ||
      strftime(stamp.data(), stamp.size(), ".%Y%m%dT%H%M%SZ", &utc) == 0)
    return Error{"cannot tell the time"};
  const std::string aside = path + stamp.data();
  if (renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, aside.c_str(),
                RENAME_NOREPLACE) != 0)
    return Failed("cannot rename " + path + " to " + aside);
  if (const Status synced = SyncFolder(path); !synced) return synced.error();
  return aside;
}

Status RemoveDurably(const std::string& path) {
  if (unlink(path.c_str()) != 0)
    return errno == ENOENT ? Status(Done{}) : Failed("cannot remove " + path);
  return SyncFolder(path);
}

Result<FileDescriptor> LockFolder(const std::string& folder) {
  FileDescriptor lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) return Failed("cannot open " + folder);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) return FileDescriptor();
  return Failed("cannot lock " + folder);
}

bool MeanTheSame(const std::string& a, const std::string& b) {
  return LogicalLines(a) == LogicalLines(b);
}

}  // namespace postern
