#include "common/accounts.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>

#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/child_process.h"
#include "common/privileges.h"

namespace postern {
namespace {

constexpr char kReportUser[] = "postern-report";
constexpr size_t kMaxSaid = 65536;
// How the child says that what follows is no work's result.
constexpr char kFailed = '!', kFine = '.';

bool Write(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count <= 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

[[noreturn]] void Work(const Account& account, std::chrono::seconds patience,
                       const std::function<std::string()>& work, int fd) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGALRM, SIG_DFL);
  alarm(static_cast<unsigned>(patience.count()));
  std::string said;
  try {
    const Status become = Become(account);
    said = become ? kFine + work() : kFailed + become.error().message;
  } catch (const std::exception& error) {
    said = kFailed + std::string(error.what());
  }
  // What the work has left behind goes with the process.
  _exit(Write(fd, said) ? 0 : 1);
}

}  // namespace

Account ReportAccount(const Options& options) {
  if (!options.report.user.empty()) return {options.report.user, ""};
  if (!options.run.user.empty() && getpwnam(kReportUser))
    return {kReportUser, ""};
  return {options.run.user, options.run.group};
}

Account CommandAccount(const Account& account, const std::string& folder) {
  if (geteuid() != 0) return {};
  if (!account.user.empty()) return account;
  struct stat info {};
  const bool is_there = stat(folder.c_str(), &info) == 0;
  const passwd* owner = is_there ? getpwuid(info.st_uid) : nullptr;
  return {owner ? owner->pw_name : "nobody", ""};
}

Account PolicyCommandAccount(const Options& options) {
  return CommandAccount({options.run.user, options.run.group},
                        options.cache.directory);
}

Status Become(const Account& account) {
  return BecomeUser(account.user, account.group);
}

Result<std::string> DoneAs(const Account& account,
                           std::chrono::seconds patience,
                           const std::function<std::string()>& work) {
  auto pipe = MakePipe();
  if (!pipe) return pipe.error();
  const pid_t child = fork();
  if (child < 0) return Error{std::string("fork: ") + std::strerror(errno)};
  if (child == 0) Work(account, patience, work, pipe->write.get());
  pipe->write = FileDescriptor();
  std::string said;
  std::array<char, 4096> bytes;
  // The end of the child is the end of the pipe.
  while (said.size() <= kMaxSaid) {
    const ssize_t count = read(pipe->read.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    said.append(bytes.data(), static_cast<size_t>(count));
  }
  if (said.size() > kMaxSaid) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  if (said.size() > kMaxSaid) return Error{"it said too much"};
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
    return Error{"it was not done within " + std::to_string(patience.count()) +
                 " seconds"};
  if (status != 0 || said.empty()) return Error{"it ended before it was done"};
  if (said.front() == kFailed) return Error{said.substr(1)};
  return said.substr(1);
}

}  // namespace postern
