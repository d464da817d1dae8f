// Listening sockets: made here, found stale, inherited.
#include "common/listener.h"

#include <atomic>
#include <filesystem>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/file_descriptor.h"

namespace postern {
namespace {

class ListenerTest : public testing::Test {
 protected:
  ListenerTest() { std::filesystem::create_directory(folder_); }
  ~ListenerTest() override { std::filesystem::remove_all(folder_); }

  Result<Listener> Open() { return Listener::Open(loop_, Address(), {}); }
  ListenAddress Address() const {
    ListenAddress address;
    address.unix_path = path_;
    return address;
  }
  // A socket as systemd opens it.
  int Inherited(int type = SOCK_STREAM) {
    const int fd = socket(AF_UNIX, type, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, sizeof name.sun_path - 1);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    if (type == SOCK_STREAM) listen(fd, 1);
    return fd;
  }
  bool OpensAt(const char* address) {
    ListenAddress listen;  // a port of the kernel's choice
    listen.address = *IpAddress::Parse(address);
    return static_cast<bool>(Listener::Open(loop_, listen, {}));
  }
  bool HasFile() const { return access(path_.c_str(), F_OK) == 0; }
  bool Connects() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, sizeof name.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int code =
        connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    close(fd);
    return code == 0;
  }
  // The error that Adopt gives; "": none.
  std::string Refusal(int fd) {
    const auto adopted = Listener::Adopt(loop_, fd);
    return adopted ? "" : adopted.error().message;
  }

  boost::asio::io_context loop_;
  const std::filesystem::path folder_ =
      testing::TempDir() + "/postern-listener-" + std::to_string(getpid());
  const std::string path_ = folder_ / "test.sock";
};

TEST_F(ListenerTest, ItsFileGoesWithIt) {
  {
    const auto listener = Open();
    ASSERT_TRUE(listener);
    EXPECT_TRUE(Connects());
  }
  EXPECT_FALSE(HasFile());
}

TEST_F(ListenerTest, AStaleFileIsReplacedALiveOneIsNot) {
  close(Inherited());
  EXPECT_TRUE(HasFile());
  const auto first = Open();
  ASSERT_TRUE(first);
  const auto second = Open();
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("already serves"), std::string::npos);
  EXPECT_TRUE(Connects());
}

TEST_F(ListenerTest, OfManyThatStartAtOnceOneGetsThePath) {
  for (int round = 0; round < 50; ++round) {
    close(Inherited());  // stale
    std::atomic<bool> go = false;
    std::atomic<int> opened = 0;
    std::atomic<int> decided = 0;
    std::vector<std::thread> starters;
    for (int i = 0; i < 4; ++i)
      starters.emplace_back([&] {
        while (!go) std::this_thread::yield();
        boost::asio::io_context loop;
        const auto listener = Listener::Open(loop, Address(), {});
        if (listener) ++opened;
        ++decided;
        // Serves until everybody has tried.
        while (decided < 4) std::this_thread::yield();
      });
    go = true;
    for (std::thread& starter : starters) starter.join();
    ASSERT_EQ(opened, 1);
    ASSERT_FALSE(HasFile());
  }
}

TEST_F(ListenerTest, AThousandClientsMayConnectBeforeTheFirstIsAccepted) {
  const auto listener = Open();
  ASSERT_TRUE(listener);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(Connects()) << i;
}

// --- Adopt().

TEST_F(ListenerTest, AnAdoptedSocketServesAndItsFileStays) {
  {
    auto listener = Listener::Adopt(loop_, Inherited());
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(listener->address().ToString(), "unix:" + path_);
    EXPECT_TRUE(Connects());
    boost::system::error_code error;
    listener->acceptor()->accept(error);
    EXPECT_FALSE(error) << error.message();
    listener->Close();
    EXPECT_TRUE(HasFile());
  }
  EXPECT_TRUE(HasFile());
}

TEST_F(ListenerTest, AnAdoptedSocketMayBeMoved) {
  auto listener = Listener::Adopt(loop_, Inherited());
  ASSERT_TRUE(listener);
  {
    const Listener moved = std::move(*listener);
    EXPECT_EQ(moved.address().ToString(), "unix:" + path_);
  }
  EXPECT_TRUE(HasFile());
}

TEST_F(ListenerTest, TcpIsAdopted) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  socklen_t size = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  listen(fd, 1);
  const auto listener = Listener::Adopt(loop_, fd);
  ASSERT_TRUE(listener);
  EXPECT_EQ(listener->address().ToString(),
            "inet:127.0.0.1:" + std::to_string(ntohs(name.sin_port)));
}

// At boot, before DHCP is done.
TEST_F(ListenerTest, AnAddressMayComeLater) {
  EXPECT_TRUE(OpensAt("192.0.2.1"));
}

TEST_F(ListenerTest, AnIpv6AddressMayComeLater) {
  if (!FileDescriptor(socket(AF_INET6, SOCK_STREAM, 0)))
    GTEST_SKIP() << "no IPv6 here";
  EXPECT_TRUE(OpensAt("2001:db8::1"));
}

TEST_F(ListenerTest, Ipv6IsAdopted) {
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  if (fd < 0) GTEST_SKIP() << "no IPv6 here";
  listen(fd, 1);  // "::", a port of the kernel's choice
  const auto listener = Listener::Adopt(loop_, fd);
  ASSERT_TRUE(listener);
  EXPECT_TRUE(listener->address().ToString().starts_with("inet:[::]:"))
      << listener->address().ToString();
}

TEST_F(ListenerTest, WhatIsNoListeningStreamSocketIsRefusedAndLeftAlone) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const int datagram = Inherited(SOCK_DGRAM);
  const int deaf = socket(AF_INET, SOCK_STREAM, 0);
  const int unnamed = socket(AF_UNIX, SOCK_STREAM, 0);
  for (const int fd :
       {pair[0], pair[1], pipes[0], pipes[1], datagram, deaf, unnamed}) {
    EXPECT_NE(Refusal(fd).find("is not a listening stream socket"),
              std::string::npos)
        << fd;
    EXPECT_EQ(close(fd), 0) << fd;
  }
  EXPECT_NE(Refusal(-1), "");
  EXPECT_NE(Refusal(12345), "");
}

}  // namespace
}  // namespace postern
