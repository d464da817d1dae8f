#include "report-sender/sendmail.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <sysexits.h>

#include "common/file_descriptor.h"
#include "common/result.h"
#include "common/text.h"

namespace postern {
namespace {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// Of what it says; the rest is read and thrown away.
constexpr size_t kMaxSaid = 4096;
constexpr size_t kMaxReason = 300;

// A child without a shell; its standard output is its standard error.
struct Child {
  pid_t pid = -1;
  FileDescriptor ended;  // a pidfd: readable when it has
  FileDescriptor output;
};

Error Failed(const std::string& what, int error) {
  return Error{"cannot run " + what + ": " + std::strerror(error)};
}

struct Pipe {
  FileDescriptor read, write;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Failed("pipe", errno);
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// The mail as a file, to be read from its beginning. Not a pipe: whatever
// becomes of us, nobody takes the end of a pipe for that of the mail.
Result<FileDescriptor> FileOf(std::string_view mail) {
  FileDescriptor file(memfd_create("mail", MFD_CLOEXEC));
  if (!file) return Failed("memfd_create", errno);
  while (!mail.empty()) {
    const ssize_t count = write(file.get(), mail.data(), mail.size());
    if (count < 0) return Failed("write", errno);
    mail.remove_prefix(static_cast<size_t>(count));
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) return Failed("lseek", errno);
  return file;
}

class SpawnActions {
 public:
  SpawnActions() {
    posix_spawn_file_actions_init(&files_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  void Set(const FileDescriptor& input, const Pipe& output) {
    posix_spawn_file_actions_adddup2(&files_, input.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files_, output.write.get(),
                                     STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files_, output.write.get(),
                                     STDERR_FILENO);
    // Neither the library's sockets nor anybody else's.
    posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1);
    // Not those that a loop with signals of its own blocks or ignores.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    // A group of its own, so that who kills it kills what it started.
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF |
                                               POSIX_SPAWN_SETPGROUP);
  }
  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

Result<Child> Start(const SendmailCall& call) {
  const auto input = FileOf(call.mail);
  if (!input) return input.error();
  auto output = MakePipe();
  if (!output) return output.error();
  SpawnActions actions;
  actions.Set(*input, *output);
  std::vector<std::string> words = {call.program, "-i", "-f",
                                    call.sender,  "--", call.recipient};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  Child child;
  const int error =
      posix_spawn(&child.pid, call.program.c_str(), actions.files(),
                  actions.attributes(), arguments.data(), environ);
  if (error != 0)
    return Error{"cannot run " + call.program + ": " + std::strerror(error) +
                 "; check report.sendmail"};
  // (No wrapper in Debian 12's C library.)
  child.ended =
      FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0)));
  if (child.ended.get() < 0) {
    const int failed = errno;
    kill(-child.pid, SIGKILL);
    waitpid(child.pid, nullptr, 0);
    return Failed("pidfd_open", failed);
  }
  child.output = std::move(output->read);
  fcntl(child.output.get(), F_SETFL, O_NONBLOCK);
  return child;
}

const char* ExitText(int status) {
  switch (status) {
    case EX_USAGE:
      return "it does not take -i, -f and --";
    case EX_NOHOST:
      return "the address's host is unknown to it";
    case EX_NOUSER:
      return "the address is unknown to it";
    case EX_UNAVAILABLE:
      return "it refused the mail";
    case EX_NOPERM:
      return "it does not allow this user to send";
    case EX_TEMPFAIL:
      return "a temporary failure";
    case EX_CONFIG:
      return "its configuration is bad";
    default:
      return nullptr;
  }
}

std::string ReasonOf(const std::string& program, int status,
                     const std::string& said) {
  const std::string line = said.substr(0, said.find('\n'));
  std::string reason = program + ": ";
  if (WIFSIGNALED(status))
    reason += "ended by signal " + std::to_string(WTERMSIG(status));
  else if (const char* text = ExitText(WEXITSTATUS(status)))
    reason += text;
  else
    reason += "exit status " + std::to_string(WEXITSTATUS(status));
  if (!line.empty()) reason += ": " + line;
  return Printable(reason, kMaxReason);
}

// What the waits of one call share; each of them may end last.
struct Run {
  Run(const asio::any_io_executor& executor, Child started)
      : child(std::move(started)),
        ended(executor, child.ended.Release()),
        output(executor, child.output.Release()) {}
  Child child;
  asio::posix::stream_descriptor ended, output;
  std::string said;
  bool late = false;
  bool reaped = false;

  void Keep(const char* bytes, size_t count) {
    said.append(bytes, std::min(count, kMaxSaid - said.size()));
  }
};

Awaitable<void> ReadSaid(std::shared_ptr<Run> run) {
  std::array<char, 1024> bytes;
  for (;;) {
    const auto [error, count] =
        co_await run->output.async_read_some(asio::buffer(bytes), kAwait);
    if (error) break;
    run->Keep(bytes.data(), count);
  }
}

}  // namespace

Awaitable<SendmailResult> RunSendmail(asio::any_io_executor executor,
                                      SendmailCall call,
                                      std::chrono::seconds patience) {
  auto child = Start(call);
  if (!child) co_return SendmailResult{false, child.error().message};
  const auto run = std::make_shared<Run>(executor, std::move(*child));
  Spawn(executor, ReadSaid(run));
  asio::steady_timer deadline(executor, patience);
  deadline.async_wait([run](const boost::system::error_code& error) {
    if (error || run->reaped) return;
    run->late = true;
    kill(-run->child.pid, SIGKILL);  // with what it may have started
  });
  co_await run->ended.async_wait(asio::posix::stream_descriptor::wait_read,
                                 kAwait);
  int status = 0;
  const bool is_known = waitpid(run->child.pid, &status, 0) == run->child.pid;
  run->reaped = true;
  deadline.cancel();
  // Its last words are in the pipe, which somebody else may keep open.
  std::array<char, 1024> bytes;
  for (ssize_t count = 0; run->output.is_open() &&
                          (count = read(run->output.native_handle(),
                                        bytes.data(), bytes.size())) > 0 &&
                          run->said.size() < kMaxSaid;)
    run->Keep(bytes.data(), static_cast<size_t>(count));
  run->output.close();
  SendmailResult result;
  result.accepted = is_known && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (result.accepted) co_return result;
  result = {false, ReasonOf(call.program, status, run->said)};
  if (run->late)
    result.reason = call.program + ": not done after " +
                    std::to_string(patience.count()) + " s, killed";
  co_return result;
}

}  // namespace postern
