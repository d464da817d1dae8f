#include "common/socket_file.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/privileges.h"

namespace postern {
namespace {

// How long another daemon may take to open its socket.
constexpr int kLockTries = 100;
constexpr std::chrono::milliseconds kLockPause{10};

std::string ErrnoText() { return std::strerror(errno); }

Result<std::optional<gid_t>> GroupOf(const std::string& configured) {
  const std::string name = configured.empty() ? "postfix" : configured;
  if (const group* entry = getgrnam(name.c_str()))
    return std::optional<gid_t>(entry->gr_gid);
  if (configured.empty()) return std::optional<gid_t>();
  return Error{"policy.socket_group: there is no group '" + configured + "'"};
}

// Between another daemon's bind and its listen, its socket looks like a stale
// one; so one at a time. As long as this lives, no other daemon opens a socket
// in the folder. Best effort: who holds the lock for long is no daemon that
// starts, and shall not keep us from starting.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder)
      : fd_(open(folder.empty() ? "." : folder.c_str(),
                 O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    for (int i = 0; i < kLockTries; ++i) {
      if (fd_ < 0 || flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return;
      std::this_thread::sleep_for(kLockPause);
    }
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  int fd_;
};

// Only a refusal says that nobody does: without the right to connect, with a
// full backlog, or being of another type, the socket is in use.
bool SomebodyServes(const std::string& path, int type) {
  const int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;  // nobody can say
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  const int code =
      connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  const bool alive = code == 0 || (errno != ECONNREFUSED && errno != ENOENT);
  close(fd);
  return alive;
}

std::filesystem::path FolderOf(const std::string& path) {
  return std::filesystem::path(path).parent_path();
}

// For `owner`: the daemon removes the socket when it ends, and is that by then.
Status MakeFolder(const std::string& path, const std::string& owner) {
  const std::filesystem::path folder = FolderOf(path);
  if (folder.empty()) return Done{};
  const Status made = PrepareFolder(folder, owner, "", 0755);
  if (made) return made;
  return Error{made.error().message + ", for the socket " + path};
}

Status RemoveStale(const std::string& path, int type) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return Done{};
  if (!S_ISSOCK(info.st_mode))
    return Error{path +
                 " exists and is not a socket; remove it or configure "
                 "another path"};
  if (SomebodyServes(path, type))
    return Error{"another process already serves " + path +
                 "; stop it or configure another path"};
  // What a killed daemon has left behind.
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return Error{"cannot replace the stale socket " + path + ": " +
                 ErrnoText()};
  return Done{};
}

// What is made while this lives has this mode and, where root makes it, this
// group from its first moment on. Nothing is given by its path afterwards: in a
// folder of somebody else's, a path may be another file by then.
class MadeWith {
 public:
  MadeWith(mode_t mode, std::optional<gid_t> group)
      : mask_(umask(~mode & 0777)), group_(getegid()) {
    // Whom this is refused gives it in CheckMade, with no more rights than the
    // folder's owner could have.
    if (group) static_cast<void>(setegid(*group));
  }
  MadeWith(const MadeWith&) = delete;
  MadeWith& operator=(const MadeWith&) = delete;
  ~MadeWith() {
    umask(mask_);
    if (getegid() != group_ && setegid(group_) != 0) std::abort();
  }

 private:
  const mode_t mask_;
  const gid_t group_;
};

// Is what lies there what was to be made?
Status CheckMade(const std::string& path, const SocketFile::Mode& mode,
                 std::optional<gid_t> group, struct stat& info) {
  const bool is_root = geteuid() == 0;
  const bool not_given =
      group && !is_root && lchown(path.c_str(), static_cast<uid_t>(-1), *group);
  const std::string reason = not_given ? ErrnoText() : "its folder has another";
  if (lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode) ||
      info.st_uid != geteuid())
    return Error{path +
                 " was replaced while it was made; its folder must be nobody's "
                 "but root's and run.user's"};
  if ((info.st_mode & 07777) != mode.mode)
    return Error{path +
                 " does not get its mode; its folder has an ACL of its "
                 "own (getfacl tells)"};
  if (!group || info.st_gid == *group) return Done{};
  if (!mode.group.empty())
    return Error{"cannot give " + path + " to group " + mode.group + ": " +
                 reason};
  Log(LogLevel::kWarn, "socket_not_for_postfix",
      {{"socket", path},
       {"reason", reason},
       {"advice",
        "start as root (run.user drops it), or set policy.socket_group"}});
  return Done{};
}

}  // namespace

Result<SocketFile> SocketFile::Make(const std::string& path, int type,
                                    const Mode& mode,
                                    const std::function<Status()>& bind) {
  const auto group = GroupOf(mode.group);
  if (!group) return group.error();
  const Status made = MakeFolder(path, mode.owner);
  if (!made) return made.error();
  const FolderLock lock(FolderOf(path));
  const Status removed = RemoveStale(path, type);
  if (!removed) return removed.error();
  const auto bound = [&] {
    const MadeWith these(static_cast<mode_t>(mode.mode), *group);
    return bind();
  }();
  if (!bound) return bound.error();
  struct stat info {};
  const Status checked = CheckMade(path, mode, *group, info);
  SocketFile file;  // removes it again where it is not as it has to be
  if (S_ISSOCK(info.st_mode)) file.path_ = path;
  file.device_ = info.st_dev;
  file.inode_ = info.st_ino;
  if (!checked) return checked.error();
  return file;
}

SocketFile::SocketFile(SocketFile&& other) noexcept {
  *this = std::move(other);
}

SocketFile& SocketFile::operator=(SocketFile&& other) noexcept {
  if (this == &other) return *this;
  Remove();
  path_ = std::exchange(other.path_, {});
  device_ = other.device_;
  inode_ = other.inode_;
  return *this;
}

void SocketFile::Remove() {
  const std::string path = std::exchange(path_, {});
  struct stat info {};
  if (!path.empty() && lstat(path.c_str(), &info) == 0 &&
      info.st_dev == device_ && info.st_ino == inode_ &&
      unlink(path.c_str()) != 0)
    Log(LogLevel::kWarn, "socket_left_behind",
        {{"socket", path},
         {"reason", ErrnoText()},
         {"advice", "let its folder belong to run.user"}});
}

}  // namespace postern
