#include "common/privileges.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

namespace postern {

Status BecomeUser(const std::string& user, const std::string& group) {
  if (user.empty() && group.empty()) return Done{};
  const passwd* account = user.empty() ? nullptr : getpwnam(user.c_str());
  if (!user.empty() && !account)
    return Error{"run.user: there is no user '" + user + "'"};
  const uid_t uid = account ? account->pw_uid : getuid();
  gid_t gid = account ? account->pw_gid : getgid();
  if (!group.empty()) {
    const ::group* entry = getgrnam(group.c_str());
    if (!entry) return Error{"run.group: there is no group '" + group + "'"};
    gid = entry->gr_gid;
  }
  const bool already = getuid() == uid && getgid() == gid;
  if (already) return Done{};
  if (account && initgroups(user.c_str(), gid) != 0)
    return Error{"cannot take the groups of " + user + ": " +
                 std::strerror(errno) + " (start as root)"};
  if (setgid(gid) != 0 || setuid(uid) != 0)
    return Error{"cannot become " + user + ": " + std::strerror(errno) +
                 " (start as root)"};
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
