// Against a socket of the test in systemd's place, and children that inherit.
#include "common/systemd.h"

#include <cstdlib>
#include <functional>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START

// Hears what is notified.
class SystemdTest : public testing::Test {
 protected:
  void SetUp() override {
    Forget();
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, sizeof name.sun_path - 1);
    unlink(path_.c_str());
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  }
  void TearDown() override {
    close(fd_);
    unlink(path_.c_str());
    Forget();
  }
  static void Forget() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                             "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
      unsetenv(name);
  }
  // "": nothing came.
  std::string Heard() {
    char buffer[1000];
    const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
    return size < 0 ? "" : std::string(buffer, static_cast<size_t>(size));
  }

  const std::string path_ =
      testing::TempDir() + "/postern-notify-" + std::to_string(getpid());
  int fd_ = -1;
};

TEST_F(SystemdTest, HearsOfTheStart) {
  NotifyReady("2 sockets");
  EXPECT_EQ(Heard(), "READY=1\nSTATUS=2 sockets");
}

TEST_F(SystemdTest, AStatusIsOneLine) {
  NotifyReady("a\nMAINPID=1");
  EXPECT_EQ(Heard(), "READY=1\nSTATUS=a MAINPID=1");
}

TEST_F(SystemdTest, HearsOfAReloadWithItsTime) {
  NotifyReloading();
  const std::string heard = Heard();
  const std::string begin = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_TRUE(heard.starts_with(begin)) << heard;
  const std::string usec = heard.substr(begin.size());
  EXPECT_FALSE(usec.empty());
  EXPECT_EQ(usec.find_first_not_of("0123456789"), std::string::npos) << usec;
}

TEST_F(SystemdTest, HearsOfTheEnd) {
  NotifyStopping();
  EXPECT_EQ(Heard(), "STOPPING=1");
}

TEST_F(SystemdTest, HearsThatWeLive) {
  NotifyWatchdog();
  EXPECT_EQ(Heard(), "WATCHDOG=1");
}

TEST_F(SystemdTest, WithoutSystemdNothingHappens) {
  Forget();
  NotifyReady("");
  NotifyReloading();
  NotifyStopping();
  NotifyWatchdog();
  EXPECT_EQ(Heard(), "");
  EXPECT_FALSE(WatchdogInterval());
  const auto sockets = InheritedSockets();
  ASSERT_TRUE(sockets);
  EXPECT_TRUE(sockets->empty());
}

TEST_F(SystemdTest, ASocketThatIsGoneDoesNoHarm) {
  unlink(path_.c_str());
  NotifyReady("");
  NotifyWatchdog();
}

TEST_F(SystemdTest, TheWatchdogIsFedTwiceInItsTime) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(WatchdogInterval(), 15s);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(WatchdogInterval(), 15s);
  setenv("WATCHDOG_USEC", "1", 1);
  EXPECT_EQ(WatchdogInterval(), 1ms);
}

TEST_F(SystemdTest, AWatchdogForAnotherIsNotOurs) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_FALSE(WatchdogInterval());
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  setenv("WATCHDOG_USEC", "soon", 1);
  EXPECT_FALSE(WatchdogInterval());
}

// --- InheritedSockets, in a child: it begins at descriptor 3.

// Runs `check` in a child that has `fds` as systemd hands them over; what it
// returns is "" where all is well.
std::string InChild(const std::vector<int>& fds, const char* names,
                    const std::function<std::string()>& check) {
  int answer[2];
  if (pipe2(answer, O_CLOEXEC) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    // Out of the way of those that come to stand at 3.
    const int report = fcntl(answer[1], F_DUPFD, 100);
    std::vector<int> copies;
    for (const int fd : fds) copies.push_back(fcntl(fd, F_DUPFD, 100));
    for (size_t i = 0; i < copies.size(); ++i)
      dup2(copies[i], kFirstFd + static_cast<int>(i));
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", std::to_string(fds.size()).c_str(), 1);
    if (names) setenv("LISTEN_FDNAMES", names, 1);
    const std::string found = check();
    _exit(write(report, found.data(), found.size()) < 0);
  }
  close(answer[1]);
  std::string text;
  char buffer[1000];
  for (ssize_t size; (size = read(answer[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(size));
  close(answer[0]);
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0 ? text : "the child failed";
}

const char* NameOf(InheritedSocket::Kind kind) {
  switch (kind) {
    case InheritedSocket::Kind::kListeningStream:
      return "stream";
    case InheritedSocket::Kind::kDatagram:
      return "datagram";
    case InheritedSocket::Kind::kOther:
      return "other";
  }
  return "?";
}

// "3=policy/stream 4=/datagram"
std::string Listing() {
  const auto sockets = InheritedSockets();
  if (!sockets) return "error: " + sockets.error().message;
  std::string text;
  for (const InheritedSocket& socket : *sockets)
    text += std::to_string(socket.fd) + "=" + socket.name + "/" +
            NameOf(socket.kind) + " ";
  return text;
}

class InheritedSocketsTest : public SystemdTest {
 protected:
  InheritedSocketsTest() {
    listen(stream_, 1);  // on an address of the kernel's choice
  }
  ~InheritedSocketsTest() override {
    for (const int fd : {stream_, closed_stream_, datagram_}) close(fd);
  }
  const int stream_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int closed_stream_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int datagram_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

TEST_F(InheritedSocketsTest, HaveTheirNamesAndKinds) {
  EXPECT_EQ(InChild({stream_, datagram_}, "policy:tlsrpt", Listing),
            "3=policy/stream 4=tlsrpt/datagram ");
}

TEST_F(InheritedSocketsTest, MayHaveNoName) {
  EXPECT_EQ(InChild({stream_, stream_}, nullptr, Listing),
            "3=/stream 4=/stream ");
  EXPECT_EQ(InChild({stream_}, "unknown", Listing), "3=/stream ");
}

TEST_F(InheritedSocketsTest, MayBeOfNoUse) {
  EXPECT_EQ(InChild({closed_stream_, 0}, "a:b", Listing),
            "3=a/other 4=b/other ");
}

TEST_F(InheritedSocketsTest, AreTakenOnceAndNotLeftToChildren) {
  EXPECT_EQ(InChild({stream_}, "policy",
                    [] {
                      Listing();
                      if (getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
                        return std::string("still in the environment");
                      if (!(fcntl(kFirstFd, F_GETFD) & FD_CLOEXEC))
                        return std::string("a child would inherit it");
                      return Listing();
                    }),
            "");
}

TEST_F(InheritedSocketsTest, OfAnotherProcessAreNotOurs) {
  EXPECT_EQ(InChild({stream_}, "policy",
                    [] {
                      setenv("LISTEN_PID", "1", 1);
                      return Listing();
                    }),
            "");
}

TEST_F(InheritedSocketsTest, GarbageIsAnError) {
  EXPECT_TRUE(InChild({stream_}, "policy", [] {
                setenv("LISTEN_FDS", "many", 1);
                return Listing();
              }).starts_with("error: cannot take over the sockets"));
}

}  // namespace
}  // namespace postern
