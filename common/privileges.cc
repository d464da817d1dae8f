#include "common/privileges.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_descriptor.h"

namespace postern {
namespace {

struct Identity {
  uid_t uid;
  gid_t gid;
};

Result<Identity> IdentityOf(const std::string& user, const std::string& group) {
  const passwd* account = user.empty() ? nullptr : getpwnam(user.c_str());
  if (!user.empty() && !account)
    return Error{"there is no user '" + user +
                 "' (see run.user and report.user)"};
  Identity who{account ? account->pw_uid : getuid(),
               account ? account->pw_gid : getgid()};
  if (!group.empty()) {
    const ::group* entry = getgrnam(group.c_str());
    if (!entry) return Error{"run.group: there is no group '" + group + "'"};
    who.gid = entry->gr_gid;
  }
  return who;
}

}  // namespace

Status BecomeUser(const std::string& user, const std::string& group) {
  const auto who = IdentityOf(user, group);
  if (!who) return who.error();
  const bool already = getuid() == who->uid && getgid() == who->gid;
  if (already) return Done{};
  if (!user.empty() && initgroups(user.c_str(), who->gid) != 0)
    return Error{"cannot take the groups of " + user + ": " +
                 std::strerror(errno) + " (start as root)"};
  if (setgid(who->gid) != 0 || setuid(who->uid) != 0)
    return Error{"cannot become " + user + ": " + std::strerror(errno) +
                 " (start as root)"};
  return Done{};
}

Status PrepareFolder(const std::string& path, const std::string& user,
                     const std::string& group, uint32_t mode) {
  const auto who = IdentityOf(user, group);
  if (!who) return who.error();
  if (mkdir(path.c_str(), static_cast<mode_t>(mode)) != 0) {
    if (errno == EEXIST) return Done{};
    return Error{"cannot make the folder " + path + ": " +
                 std::strerror(errno)};
  }
  if (who->uid == geteuid() && who->gid == getegid()) return Done{};
  // By the folder itself: its path may lead elsewhere by now.
  const FileDescriptor made(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!made || fstat(made.get(), &info) != 0 || info.st_uid != geteuid() ||
      fchown(made.get(), who->uid, who->gid) != 0)
    return Error{"cannot give " + path + " to " + user + ": " +
                 std::strerror(errno)};
  return Done{};
}

uint64_t RaiseOpenFiles(uint64_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur >= wanted) return limit.rlim_cur;
  rlimit raised = limit;
  raised.rlim_cur = wanted;
  raised.rlim_max = std::max<rlim_t>(limit.rlim_max, wanted);
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return wanted;
  raised = limit;  // without the right to raise the hard limit
  raised.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur
                                                : limit.rlim_cur;
}

}  // namespace postern
