#include "common/child_process.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

namespace postern {
namespace {

class SpawnActions {
 public:
  explicit SpawnActions(const ChildStreams& streams) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_adddup2(&files_, streams.input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files_, streams.output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files_, streams.error, STDERR_FILENO);
    // Neither a library's sockets nor anybody else's.
    posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes_);
    // Not those that a loop with signals of its own blocks or ignores.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF |
                                               POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

}  // namespace

Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return Error{std::string("cannot make a pipe: ") + std::strerror(errno)};
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

Result<pid_t> StartChild(const std::string& path,
                         std::vector<std::string> words,
                         const ChildStreams& streams) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  signal(SIGCHLD, SIG_DFL);
  const SpawnActions actions(streams);
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, path.c_str(), actions.files(), actions.attributes(),
                  arguments.data(), environ);
  if (error != 0)
    return Error{"cannot run " + path + ": " + std::strerror(error)};
  return pid;
}

}  // namespace postern
