#include "report-sender/sendmail.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <signal.h>
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

#include "common/child_process.h"
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
  return Error{"cannot send: " + what + ": " + std::strerror(error)};
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

Result<Child> Start(const SendmailCall& call) {
  const auto input = FileOf(call.mail);
  if (!input) return input.error();
  auto output = MakePipe();
  if (!output) return output.error();
  const auto pid =
      StartChild(call.program,
                 {call.program, "-i", "-f", call.sender, "--", call.recipient},
                 {input->get(), output->write.get(), output->write.get()});
  if (!pid) return Error{pid.error().message + "; check report.sendmail"};
  Child child;
  child.pid = *pid;
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
