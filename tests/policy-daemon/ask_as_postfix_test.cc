#include "policy-daemon/ask_as_postfix.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/file_descriptor.h"

namespace postern {
namespace {

// A process at "unix:socket" that says the same to whoever asks.
class Answerer {
 public:
  explicit Answerer(const std::string& reply) {
    folder_ = testing::TempDir() + "postern_ask_XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    const FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ + "/socket").copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                   sizeof address),
              0);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    process_ = fork();
    if (process_ != 0) return;
    const FileDescriptor asker(accept(listener.get(), nullptr, nullptr));
    std::array<char, 100> request;
    const bool done = read(asker.get(), request.data(), request.size()) > 0 &&
                      write(asker.get(), reply.data(), reply.size()) > 0;
    _exit(done ? 0 : 1);
  }
  ~Answerer() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    std::filesystem::remove_all(folder_);
  }

  std::string folder_;

 private:
  pid_t process_ = 0;
};

std::string WhyNot(const std::string& reply, bool is_ours) {
  const Answerer answerer(reply);
  PostfixQuestion question;
  question.socket = "unix:socket";
  question.map = "policy";
  question.queue_directory = answerer.folder_;
  question.is_ours = is_ours;
  const Status answered = AskAsPostfix(question);
  return answered ? "" : answered.error().message;
}

TEST(AskAsPostfix, AnyReplyOfASocketmapWillDo) {
  for (const char* reply :
       {"9:NOTFOUND ,", "3:OK ,", "13:OK secure x=y,", "10:TEMP later,"})
    EXPECT_EQ(WhyNot(reply, true), "") << reply;
}

TEST(AskAsPostfix, NoOtherReplyWill) {
  for (const char* reply :
       {"220 mx.example.org ESMTP\r\n", "9:NOTFOUND x", "9:NOTFOUND ,x",
        "8:NOTFOUND,", "2:OK,", "7:MAYBE x,", ":,", "9999999999:"})
    EXPECT_EQ(WhyNot(reply, false),
              "what listens at unix:socket answers, but not as socketmap")
        << reply;
  EXPECT_EQ(WhyNot("9:NOTF", false),
            "what listens at unix:socket does not answer");
}

TEST(AskAsPostfix, OfOurDaemonItSaysWhatToDo) {
  EXPECT_NE(WhyNot("x", true).find("journalctl -u postern-policy"),
            std::string::npos);
}

TEST(AskAsPostfix, NobodyListens) {
  PostfixQuestion question;
  question.socket = "unix:postern-nobody/socket";
  question.queue_directory = testing::TempDir();
  question.is_ours = false;
  const Status answered = AskAsPostfix(question);
  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().message,
            "nobody listens at unix:postern-nobody/socket [No such file or "
            "directory]");
}

// Where nobody listens.
std::string ClosedPort() {
  const FileDescriptor held(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  EXPECT_EQ(bind(held.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  EXPECT_EQ(getsockname(held.get(), reinterpret_cast<sockaddr*>(&name), &size),
            0);
  return std::to_string(ntohs(name.sin_port));
}

TEST(AskAsPostfix, TakesTheAddressesThatPostfixWould) {
  const std::string port = ClosedPort();
  struct Case {
    const char *host, *protocols, *answer;
  };
  const std::vector<Case> cases = {
      {"127.0.0.1", "all", "nobody listens"},
      {"127.0.0.1", "ipv4", "nobody listens"},
      {"127.0.0.1", "ipv4, ipv6", "nobody listens"},
      {"", "ipv4", "nobody listens"},
      {"localhost", "ipv4", "nobody listens"},
      {"127.0.0.1", "ipv6", "smtp(8) finds no address"},
      {"[::1]", "ipv4", "smtp(8) finds no address"}};
  for (const auto& [host, protocols, answer] : cases) {
    PostfixQuestion question;
    question.socket = std::string("inet:") + host + ":" + port;
    question.queue_directory = testing::TempDir();
    question.inet_protocols = protocols;
    const Status answered = AskAsPostfix(question);
    ASSERT_FALSE(answered) << host;
    EXPECT_TRUE(answered.error().message.starts_with(answer))
        << host << " " << protocols << ": " << answered.error().message;
  }
}

// Which the chroot hides, whoever runs.
TEST(AskAsPostfix, ASocketOutsideTheChrootIsNotThere) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  PostfixQuestion question;
  question.socket = "unix:/run/postern/policy.sock";
  question.queue_directory = testing::TempDir();
  question.chrooted = true;
  const Status answered = AskAsPostfix(question);
  ASSERT_FALSE(answered);
  EXPECT_NE(answered.error().message.find(
                "where there is no /run/postern/policy.sock: put policy.listen "
                "below that folder"),
            std::string::npos)
      << answered.error().message;
}

}  // namespace
}  // namespace postern
