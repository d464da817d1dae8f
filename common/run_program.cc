#include "common/run_program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/child_process.h"
#include "common/file_descriptor.h"
#include "common/text.h"

namespace postern {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr char kAlsoIn[] = ":/usr/sbin:/usr/local/sbin:/sbin";
// How often one that has closed its output is looked at until it ends.
constexpr milliseconds kLookAgain{5};

class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ > 0) Kill();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Its exit status once it has ended.
  std::optional<int> ExitStatus() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  void Kill() {
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid_;
};

// Reads what is there; false: there is no more to come.
bool ReadSome(FileDescriptor& from, std::string& to) {
  std::array<char, 4096> bytes;
  const ssize_t count = read(from.get(), bytes.data(), bytes.size());
  if (count > 0) to.append(bytes.data(), static_cast<size_t>(count));
  if (count > 0 || (count < 0 && errno == EINTR)) return true;
  from = FileDescriptor();
  return false;
}

}  // namespace

std::optional<std::string> ProgramPath(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const char* path = std::getenv("PATH");
  const std::string folders = std::string(path ? path : "/usr/bin") + kAlsoIn;
  for (std::string_view folder : SplitList(folders, ":")) {
    std::string found = std::string(folder) + "/" + name;
    if (access(found.c_str(), X_OK) == 0) return found;
  }
  return std::nullopt;
}

Result<ProgramOutput> RunProgram(const std::vector<std::string>& words,
                                 const ProgramLimits& limits) {
  const std::string& name = words.front();
  const auto path = ProgramPath(name);
  if (!path) return Error{"there is no program " + name};
  const FileDescriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing) return Error{std::string("/dev/null: ") + std::strerror(errno)};
  auto out = MakePipe();
  if (!out) return out.error();
  auto err = MakePipe();
  if (!err) return err.error();
  const auto pid = StartChild(
      *path, words, {nothing.get(), out->write.get(), err->write.get()});
  if (!pid) return pid.error();
  Child child(*pid);
  out->write = FileDescriptor();
  err->write = FileDescriptor();
  ProgramOutput output;
  const auto deadline = Clock::now() + limits.patience;
  for (std::optional<int> status;;) {
    // Whatever keeps its output open after its end is not waited for.
    if (!status) status = child.ExitStatus();
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    if (!status && left.count() <= 0)
      return Error{name + " did not end within " +
                   std::to_string(limits.patience.count() / 1000) +
                   " s, and was killed"};
    std::array<pollfd, 2> ends = {
        {{out->read.get(), POLLIN, 0}, {err->read.get(), POLLIN, 0}}};
    const auto wait = std::clamp(left, milliseconds(0), kLookAgain);
    const int ready = poll(ends.data(), ends.size(),
                           status ? 0 : static_cast<int>(wait.count()));
    if (ends[0].revents) ReadSome(out->read, output.out);
    if (ends[1].revents) ReadSome(err->read, output.err);
    if (std::max(output.out.size(), output.err.size()) > limits.output_bytes)
      return Error{name + " said more than " +
                   std::to_string(limits.output_bytes) + " bytes"};
    if (status && ready <= 0) {
      output.exit_status = *status;
      return output;
    }
  }
}

Result<std::string> OutputOf(const std::vector<std::string>& words,
                             const ProgramLimits& limits) {
  auto output = RunProgram(words, limits);
  if (!output) return output.error();
  if (!output->ok()) {
    std::string call = words.front();
    for (size_t i = 1; i < words.size(); ++i) call += " " + words[i];
    const std::string said = output->err.substr(0, output->err.find('\n'));
    return Error{Printable(call) + ": " +
                 (said.empty()
                      ? "exit status " + std::to_string(output->exit_status)
                      : Printable(said))};
  }
  std::string& text = output->out;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return std::move(text);
}

}  // namespace postern
