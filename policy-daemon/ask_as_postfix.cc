#include "policy-daemon/ask_as_postfix.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file_descriptor.h"
#include "common/listen_address.h"
#include "common/listener.h"
#include "common/text.h"

namespace postern {
namespace {

// A parent domain: it has no policy of its own, and needs no lookup.
constexpr char kKey[] = ".postern-setup";
// As Postfix takes it.
constexpr size_t kMaxReply = 100000;

// How far the child came: its exit status. What is needed of it has an errno
// in a pipe.
enum Stage : int {
  kAnswered,
  kEntering,
  kBecoming,
  kResolving,
  kConnecting,
  kAsking
};

struct Outcome {
  int stage = kAsking;
  int error = 0;
};

// A reply of socketmap_table(5), or the beginning of one?
enum class Netstring { kWhole, kPart, kNone };
Netstring Judge(std::string_view reply) {
  const size_t colon = std::min(reply.find(':'), reply.size());
  size_t length = 0;
  for (char c : reply.substr(0, colon)) {
    if (c < '0' || c > '9') return Netstring::kNone;
    length = length * 10 + static_cast<size_t>(c - '0');
    if (length > kMaxReply) return Netstring::kNone;
  }
  if (colon == reply.size()) return Netstring::kPart;
  const std::string_view rest = reply.substr(colon + 1);
  if (colon == 0 || rest.size() > length + 1) return Netstring::kNone;
  if (rest.size() < length + 1) return Netstring::kPart;
  const std::string_view word = rest.substr(0, rest.find(' '));
  const bool is_known = word == "OK" || word == "NOTFOUND" || word == "TEMP" ||
                        word == "TIMEOUT" || word == "PERM";
  return is_known && rest.back() == ',' && word.size() < length + 1
             ? Netstring::kWhole
             : Netstring::kNone;
}

bool HasAnswered(int fd, const std::string& request) {
  if (write(fd, request.data(), request.size()) !=
      static_cast<ssize_t>(request.size()))
    return false;
  std::string reply;
  std::array<char, 512> bytes;
  for (;;) {
    const ssize_t count = read(fd, bytes.data(), bytes.size());
    if (count <= 0) return false;
    reply.append(bytes.data(), static_cast<size_t>(count));
    const Netstring netstring = Judge(reply);
    if (netstring == Netstring::kWhole) return true;
    if (netstring == Netstring::kPart) continue;
    errno = EPROTO;
    return false;
  }
}

// None, and errno.
FileDescriptor ConnectTo(const sockaddr* address, size_t size) {
  FileDescriptor fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd && connect(fd.get(), address, static_cast<socklen_t>(size)) == 0)
    return fd;
  return FileDescriptor();
}

// The addresses of "inet:HOST:PORT" that Postfix would try; null: none.
using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;
Addresses Resolve(std::string_view name, std::string_view protocols) {
  name.remove_prefix(std::min(name.size(), std::string_view("inet:").size()));
  const size_t colon = std::min(name.rfind(':'), name.size());
  std::string host(name.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  const std::string port(name.substr(std::min(colon + 1, name.size())));
  const bool all = protocols.find("all") != protocols.npos;
  const bool v4 = all || protocols.find("ipv4") != protocols.npos;
  const bool v6 = all || protocols.find("ipv6") != protocols.npos;
  addrinfo hints{};
  hints.ai_family = v4 == v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (port.empty() || getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                  port.c_str(), &hints, &found) != 0)
    found = nullptr;
  return {found, freeaddrinfo};
}

// In the child, which is killed by its alarm when nobody answers.
Outcome Ask(const PostfixQuestion& question, const passwd* account) {
  const auto failed = [](int stage) { return Outcome{stage, errno}; };
  const char* const queue = question.queue_directory.c_str();
  if (account && (setgid(account->pw_gid) != 0 ||
                  initgroups(account->pw_name, account->pw_gid) != 0))
    return failed(kBecoming);
  if (chdir(queue) != 0 || (question.chrooted && chroot(queue) != 0))
    return failed(kEntering);
  if (account && setuid(account->pw_uid) != 0) return failed(kBecoming);
  FileDescriptor fd;
  if (const auto local = ListenAddress::Parse(question.socket);
      local && local->is_unix()) {
    const auto endpoint = EndpointOf(*local);
    fd = ConnectTo(endpoint.data(), endpoint.size());
  } else {
    const auto found = Resolve(question.socket, question.inet_protocols);
    if (!found) return {kResolving, 0};
    for (const addrinfo* one = found.get(); one && !fd; one = one->ai_next)
      fd = ConnectTo(one->ai_addr, one->ai_addrlen);
  }
  if (!fd) return failed(kConnecting);
  const std::string words = question.map + " " + kKey;
  const std::string request = std::to_string(words.size()) + ":" + words + ",";
  errno = 0;
  if (!HasAnswered(fd.get(), request)) return failed(kAsking);
  return {kAnswered, 0};
}

std::string AdviceFor(const Outcome& outcome, const PostfixQuestion& question) {
  const std::string who =
      question.user.empty() ? "" : " by the user " + question.user;
  const auto advice = [&](const char* text) {
    return question.is_ours ? text : "";
  };
  switch (outcome.stage) {
    case kEntering:
      return "cannot go to " + question.queue_directory;
    case kBecoming:
      return "cannot become " + question.user + " (start as root)";
    case kResolving:
      return "smtp(8) finds no address of " + question.socket +
             " (inet_protocols = " + question.inet_protocols + ")";
    case kConnecting:
      if (question.chrooted && question.socket.starts_with("unix:/"))
        return "smtp(8) runs chrooted in " + question.queue_directory +
               ", where there is no " + question.socket.substr(5) +
               advice(": put policy.listen below that folder");
      if (outcome.error == EACCES)
        return question.socket + " may not be opened" + who +
               advice(
                   ": see policy.socket_group, policy.socket_mode and the "
                   "mode of its folder");
      return "nobody listens at " + question.socket +
             advice(
                 ": start the daemon (systemctl start postern-policy.socket "
                 "postern-policy)");
    default:
      return "what listens at " + question.socket +
             (outcome.error == EPROTO ? " answers, but not as socketmap"
                                      : " does not answer") +
             advice(": see its log (journalctl -u postern-policy)");
  }
}

}  // namespace

Status AskAsPostfix(const PostfixQuestion& question) {
  const passwd* account = nullptr;
  if (!question.user.empty()) {
    account = getpwnam(question.user.c_str());
    if (!account)
      return Error{"there is no user " + question.user + " (mail_owner)"};
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return Error{std::string("cannot ask: ") + std::strerror(errno)};
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  const pid_t child = fork();
  if (child < 0) return Error{std::string("fork: ") + std::strerror(errno)};
  if (child == 0) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, SIG_DFL);
    alarm(static_cast<unsigned>(question.patience.count()));
    const Outcome outcome = Ask(question, account);
    const ssize_t told = write(write_end.get(), &outcome, sizeof outcome);
    _exit(told == sizeof outcome ? 0 : 1);
  }
  write_end = FileDescriptor();
  Outcome outcome{kAsking, ETIMEDOUT};
  // The end of the child is the end of the pipe.
  const ssize_t count = read(read_end.get(), &outcome, sizeof outcome);
  if (count != sizeof outcome) outcome = {kAsking, ETIMEDOUT};
  waitpid(child, nullptr, 0);
  if (outcome.stage == kAnswered) return Done{};
  std::string message = AdviceFor(outcome, question);
  if (outcome.error != 0 && outcome.error != EPROTO)
    message += " [" + std::string(std::strerror(outcome.error)) + "]";
  return Error{message};
}

}  // namespace postern
