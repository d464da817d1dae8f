// The milter in its threads, and an MTA that speaks the protocol to it.
//
// libmilter has one filter a process: one Milter serves all these tests.
#include "policy-daemon/milter.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <gtest/gtest.h>

namespace postern {
namespace {

using namespace std::chrono_literals;

// Nothing is asserted about time; this only ends a test that hangs.
constexpr auto kPatience = 60s;

// The protocol's words (libmilter/mfdef.h, which only milter.cc includes).
constexpr uint32_t kVersion = 6;
constexpr uint32_t kAllActions = 0x1ff;
constexpr uint32_t kAllSteps = 0x1fffff;  // as Postfix offers them
constexpr uint32_t kSetMacros = 0x100;
constexpr uint32_t kNoRcpt = 0x8;
constexpr uint32_t kNoReplyToRcpt = 0x8000;
// Connect, HELO, MAIL, body, headers, end of headers, unknown: no.
constexpr uint32_t kNotNeeded = 0x1 | 0x2 | 0x4 | 0x10 | 0x20 | 0x40 | 0x100;

std::string Number(uint32_t number) {
  number = htonl(number);
  return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}

std::string Packet(char command, const std::string& data) {
  return Number(static_cast<uint32_t>(data.size() + 1)) + command + data;
}

// One milter connection of an MTA.
class FakeMta {
 public:
  explicit FakeMta(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    Connect(reinterpret_cast<sockaddr*>(&name), sizeof name);
  }
  explicit FakeMta(sockaddr_in name)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    Connect(reinterpret_cast<sockaddr*>(&name), sizeof name);
  }
  FakeMta(const FakeMta&) = delete;
  FakeMta& operator=(const FakeMta&) = delete;
  ~FakeMta() { close(fd_); }

  void SendRaw(const std::string& bytes) {
    // The other side may have closed.
    (void)!send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void Send(char command, const std::string& data = "") {
    SendRaw(Packet(command, data));
  }
  // The next packet, command and data; "": the milter has closed.
  std::string Read() {
    const std::string size = ReadBytes(4);
    if (size.size() < 4) return "";
    uint32_t number;
    memcpy(&number, size.data(), sizeof number);
    return ReadBytes(ntohl(number));
  }
  // Nothing has come that was not read.
  bool Silent() {
    pollfd one{fd_, POLLIN, 0};
    return poll(&one, 1, 0) == 0;
  }

  // What the milter answers, without the 'O'.
  std::string Negotiate(uint32_t version = kVersion,
                        uint32_t actions = kAllActions,
                        uint32_t steps = kAllSteps) {
    Send('O', Number(version) + Number(actions) + Number(steps));
    const std::string reply = Read();
    EXPECT_EQ(reply.substr(0, 1), "O");
    return reply.empty() ? "" : reply.substr(1);
  }
  void SendRcpt(const std::string& host, const std::string& mailer = "smtp") {
    const std::string nul(1, '\0');
    Send('D', "R{rcpt_host}" + nul + host + nul + "{rcpt_mailer}" + nul +
                  mailer + nul);
    Send('R', "<user@example.com>" + nul);
  }
  // DATA: the one thing that is answered, and the last of its message.
  void EndMessage() {
    Send('T');
    EXPECT_EQ(Read(), "a");
  }

 private:
  void Connect(const sockaddr* name, socklen_t size) {
    if (connect(fd_, name, size) != 0)
      ADD_FAILURE() << "cannot connect: " << strerror(errno);
  }
  std::string ReadBytes(size_t count) {
    std::string bytes;
    while (bytes.size() < count) {
      pollfd one{fd_, POLLIN, 0};
      const int ready =
          poll(&one, 1,
               static_cast<int>(std::chrono::milliseconds(kPatience).count()));
      if (ready == 0) ADD_FAILURE() << "no answer";
      char buffer[4096];
      const ssize_t size =
          ready > 0 ? recv(fd_, buffer,
                           std::min(sizeof buffer, count - bytes.size()), 0)
                    : 0;
      if (size <= 0) break;
      bytes.append(buffer, static_cast<size_t>(size));
    }
    return bytes;
  }

  int fd_;
};

// What the milter has told.
class Recipients {
 public:
  void Add(const std::string& next_hop) {
    {
      const std::lock_guard lock(mutex_);
      ++counts_[next_hop];
    }
    changed_.notify_all();
  }
  int Count(const std::string& next_hop) {
    const std::lock_guard lock(mutex_);
    return counts_[next_hop];
  }
  bool WaitFor(const std::string& next_hop, int count = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience,
                             [&] { return counts_[next_hop] >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> counts_;
};

int ListenOn(const std::string& path) {
  unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 ||
      listen(fd, 100) != 0)
    ADD_FAILURE() << "cannot listen: " << strerror(errno);
  return fd;
}

constexpr char kThrows[] = "throws.example";

class MilterTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (milter) return;
    const int fd = ListenOn(path());
    auto started = Milter::Start(fd, [](const std::string& next_hop) {
      recipients.Add(next_hop);
      if (next_hop == kThrows) throw std::runtime_error("out of something");
    });
    ASSERT_TRUE(started) << started.error().message;
    milter = std::move(*started).release();  // libmilter's threads stay, too
    close(fd);                               // it has its own
  }
  static std::string path() {
    return testing::TempDir() + "/postern-milter-" + std::to_string(getpid());
  }
  // A name of this test.
  static std::string Name(int i = 0) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    return std::string(test->name()) + std::to_string(i) + ".example";
  }
  static uint32_t Word(const std::string& text, size_t index) {
    uint32_t number = 0;
    if (text.size() >= 4 * (index + 1))
      memcpy(&number, text.data() + 4 * index, sizeof number);
    return ntohl(number);
  }
  // A whole message over a connection of its own gets through.
  static void ExpectServed(const std::string& name) {
    FakeMta mta(path());
    mta.Negotiate();
    mta.SendRcpt(name);
    mta.EndMessage();
    EXPECT_EQ(recipients.Count(name), 1);
  }

  static inline Milter* milter = nullptr;
  static inline Recipients recipients;
};

using MilterProtocolTest = MilterTest;
using MilterBadInputTest = MilterTest;
using MilterThreadsTest = MilterTest;
using MilterSignalTest = MilterTest;
using MilterLifeTest = MilterTest;

// --- What is agreed.

TEST_F(MilterProtocolTest, AsksForRecipientsWithoutRepliesAndForData) {
  FakeMta mta(path());
  const std::string reply = mta.Negotiate();
  EXPECT_EQ(Word(reply, 0), kVersion);
  EXPECT_EQ(Word(reply, 1), kSetMacros);  // nothing that changes mail
  EXPECT_EQ(Word(reply, 2), kNotNeeded | kNoReplyToRcpt);
  // Of macros, those two at RCPT (stage 3).
  EXPECT_EQ(reply.substr(12),
            Number(3) + "{rcpt_host} {rcpt_mailer}" + std::string(1, '\0'));
}

TEST_F(MilterProtocolTest, NewerMtasAreAnsweredInOurVersion) {
  FakeMta mta(path());
  const std::string reply = mta.Negotiate(7, 0xffffffff, 0xffffffff);
  EXPECT_EQ(Word(reply, 0), kVersion);
  EXPECT_EQ(Word(reply, 1), kSetMacros);
  EXPECT_EQ(Word(reply, 2) & (kNotNeeded | kNoReplyToRcpt | kNoRcpt),
            kNotNeeded | kNoReplyToRcpt);
}

TEST_F(MilterProtocolTest, RecipientsAreHeardAndNotAnswered) {
  FakeMta mta(path());
  mta.Negotiate();
  mta.SendRcpt(Name(1));
  mta.SendRcpt(Name(2), "relay");
  mta.SendRcpt(Name(3), "local");
  mta.SendRcpt("[" + Name(4) + "]:587, " + Name(5));
  ASSERT_TRUE(recipients.WaitFor(Name(5)));
  EXPECT_TRUE(mta.Silent());
  mta.EndMessage();
  EXPECT_TRUE(mta.Silent());
  EXPECT_EQ(recipients.Count(Name(1)), 1);
  EXPECT_EQ(recipients.Count(Name(2)), 1);
  EXPECT_EQ(recipients.Count(Name(3)), 0);
  EXPECT_EQ(recipients.Count("[" + Name(4) + "]:587"), 1);
}

TEST_F(MilterProtocolTest, AConnectionServesManyMessages) {
  FakeMta mta(path());
  mta.Negotiate();
  for (int i = 0; i < 20; ++i) {
    mta.SendRcpt(Name(i));
    if (i % 3 == 0)
      mta.Send('A');  // aborted: not answered either
    else
      mta.EndMessage();
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(recipients.Count(Name(i)), 1) << i;
  mta.Send('Q');
  EXPECT_EQ(mta.Read(), "");
}

TEST_F(MilterProtocolTest, AnMtaThatCanLeaveNothingOutIsToldToContinue) {
  FakeMta mta(path());
  const std::string reply = mta.Negotiate(2, 0x3f, kNoRcpt);
  EXPECT_EQ(Word(reply, 0), 2u);
  EXPECT_EQ(Word(reply, 1), 0u);
  EXPECT_EQ(Word(reply, 2), 0u);
  EXPECT_EQ(reply.size(), 12u);
  const std::string nul(1, '\0');
  const auto continues = [&mta](char command, const std::string& data) {
    mta.Send(command, data);
    EXPECT_EQ(mta.Read(), "c") << command;
  };
  continues('C', "client.example" + nul + "4" + Number(25).substr(2) +
                     "192.0.2.1" + nul);
  continues('H', "client.example" + nul);
  continues('M', "<sender@example.org>" + nul);
  mta.SendRcpt(Name());
  EXPECT_EQ(mta.Read(), "c");
  continues('L', "Subject" + nul + "hello" + nul);
  continues('N', "");
  continues('B', "body\r\n");
  continues('E', "");
  EXPECT_EQ(recipients.Count(Name()), 1);
}

TEST_F(MilterProtocolTest, WithoutMacrosThereIsNothingToHear) {
  FakeMta mta(path());
  mta.Negotiate();
  mta.Send('R', "<user@example.com>" + std::string(1, '\0'));
  mta.EndMessage();
}

// --- What goes wrong.

TEST_F(MilterBadInputTest, GarbageEndsItsConnectionOnly) {
  const std::string nul(1, '\0');
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.0\r\n\r\n"), std::string(1000, '\xff'),
        std::string(1000, '\0'), Packet('O', ""), Packet('O', "short"),
        Packet('O', Number(1) + Number(0) + Number(0)), Packet('z', "what"),
        Number(0x7fffffff) + "O"}) {
    FakeMta mta(path());
    mta.SendRaw(bytes);
    EXPECT_EQ(mta.Read(), "") << bytes;
  }
  ExpectServed(Name());
}

TEST_F(MilterBadInputTest, MacrosWithoutAnEndAreSurvived) {
  for (const std::string& macros :
       {std::string("R"), std::string("R{rcpt_host}"),
        std::string("R{rcpt_host}\0", 13), std::string("R\0\0\0\0", 5),
        std::string("Q{rcpt_host}\0x\0", 15),
        "R{rcpt_host}" + std::string(1, '\0') + std::string(60000, 'x')}) {
    FakeMta mta(path());
    mta.Negotiate();
    mta.Send('D', macros);
    mta.Send('R', "<user@example.com>");
    mta.SendRcpt(Name(1));
  }
  ExpectServed(Name(2));
}

TEST_F(MilterBadInputTest, TooLongANextHopIsLeftOut) {
  FakeMta mta(path());
  mta.Negotiate();
  mta.SendRcpt(std::string(256, 'a'));
  mta.SendRcpt(std::string(50000, 'b'));
  mta.SendRcpt(Name());
  mta.EndMessage();
  EXPECT_EQ(recipients.Count(std::string(256, 'a')), 0);
  EXPECT_EQ(recipients.Count(std::string(50000, 'b')), 0);
  EXPECT_EQ(recipients.Count(Name()), 1);
}

TEST_F(MilterBadInputTest, AnExceptionStaysOnThisSide) {
  FakeMta mta(path());
  mta.Negotiate();
  mta.SendRcpt(kThrows);
  mta.SendRcpt(Name());
  mta.EndMessage();
  EXPECT_EQ(recipients.Count(Name()), 1);
}

TEST_F(MilterBadInputTest, WhoLeavesAnywhereDoesNoHarm) {
  std::string all =
      Packet('O', Number(kVersion) + Number(kAllActions) + Number(kAllSteps));
  all += Packet('R', "<user@example.com>" + std::string(1, '\0'));
  all += Packet('T', "");
  for (size_t cut = 0; cut <= all.size(); ++cut)
    FakeMta(path()).SendRaw(all.substr(0, cut));
  ExpectServed(Name());
}

// (While he stays, he holds one of libmilter's workers, and others may wait for
// it: Postfix then goes on without us, after its command_timeout.)
TEST_F(MilterBadInputTest, WhoStoppedAmidACommandIsForgottenOnceHeLeaves) {
  {
    std::vector<std::unique_ptr<FakeMta>> slow;
    for (int i = 0; i < 30; ++i) {
      slow.push_back(std::make_unique<FakeMta>(path()));
      slow.back()->SendRaw(std::string("\0\0\0", 3));
    }
  }
  ExpectServed(Name());
}

// --- Many at once.

TEST_F(MilterThreadsTest, ManyConnectionsAreServedBesideEachOther) {
  constexpr int kConnections = 16;
  constexpr int kMessages = 20;
  constexpr int kRcpts = 5;
  std::vector<std::thread> mtas;
  const std::string base = Name();
  for (int c = 0; c < kConnections; ++c)
    mtas.emplace_back([&base, c] {
      FakeMta mta(path());
      mta.Negotiate();
      for (int m = 0; m < kMessages; ++m) {
        for (int r = 0; r < kRcpts; ++r) mta.SendRcpt(base);
        mta.SendRcpt(std::to_string(c) + "." + base);
        mta.EndMessage();
      }
    });
  for (std::thread& mta : mtas) mta.join();
  EXPECT_EQ(recipients.Count(base), kConnections * kMessages * kRcpts);
  for (int c = 0; c < kConnections; ++c)
    EXPECT_EQ(recipients.Count(std::to_string(c) + "." + base), kMessages);
}

TEST_F(MilterThreadsTest, HundredsMayConnectAtOnce) {
  std::vector<std::unique_ptr<FakeMta>> mtas;
  for (int i = 0; i < 300; ++i)
    mtas.push_back(std::make_unique<FakeMta>(path()));
  for (const auto& mta : mtas) mta->Negotiate();
  for (const auto& mta : mtas) mta->SendRcpt(Name());
  for (const auto& mta : mtas) mta->EndMessage();
  EXPECT_EQ(recipients.Count(Name()), 300);
}

// --- Signals: the main thread's, through Asio, however fast they come.

TEST_F(MilterSignalTest, AllOfThemReachTheLoopAndTheMilterGoesOn) {
  boost::asio::io_context loop(1);
  boost::asio::signal_set signals(loop, SIGTERM, SIGINT, SIGHUP);
  std::map<int, int> got;
  std::function<void()> wait = [&] {
    signals.async_wait([&](boost::system::error_code error, int number) {
      if (error) return;
      ++got[number];
      wait();
    });
  };
  wait();
  constexpr int kRounds = 500;
  for (int round = 1; round <= kRounds; ++round) {
    // From elsewhere, while the main thread waits in its loop.
    std::thread sender([] {
      sigset_t everything;
      sigfillset(&everything);
      pthread_sigmask(SIG_BLOCK, &everything, nullptr);
      for (const int number : {SIGHUP, SIGTERM, SIGINT}) kill(getpid(), number);
    });
    const auto all = [&] {
      return got[SIGHUP] >= round && got[SIGTERM] >= round &&
             got[SIGINT] >= round;
    };
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!all() && loop.run_one_until(deadline) > 0) {
    }
    sender.join();
    ASSERT_TRUE(all()) << "round " << round << ": " << got[SIGHUP] << " HUP, "
                       << got[SIGTERM] << " TERM, " << got[SIGINT] << " INT";
  }
  ExpectServed(Name());
}

// --- Its life.

TEST_F(MilterLifeTest, ThereIsOneAProcess) {
  const int fd = ListenOn(path() + "-second");
  const auto second = Milter::Start(fd, [](const std::string&) {});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("there is one"), std::string::npos);
  close(fd);
  unlink((path() + "-second").c_str());
  ExpectServed(Name());
}

TEST_F(MilterLifeTest, TheSocketsFileStays) {
  EXPECT_EQ(access(path().c_str(), F_OK), 0);
}

// In a process of its own: what cannot be undone.
void LiveAndGo(const std::string& path) {
  std::atomic<int> calls = 0;
  const int fd = ListenOn(path);
  {
    const auto milter =
        Milter::Start(fd, [&calls](const std::string&) { ++calls; });
    FakeMta mta(path);
    mta.Negotiate();
    mta.SendRcpt("before.example");
    mta.EndMessage();
  }
  // It goes on for its MTAs, but calls nobody.
  FakeMta mta(path);
  mta.Negotiate();
  mta.SendRcpt("after.example");
  mta.EndMessage();
  const bool has_file = access(path.c_str(), F_OK) == 0;
  unlink(path.c_str());
  fprintf(stderr, "calls=%d file=%d\n", calls.load(), has_file);
  _exit(0);
}

TEST(MilterDeathTest, AMilterThatIsGoneCallsNobody) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::string path = testing::TempDir() + "/postern-milter-gone";
  EXPECT_EXIT(LiveAndGo(path), testing::ExitedWithCode(0), "calls=1 file=1");
}

void ServeTcp() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listen(fd, 1) != 0) _exit(1);  // the kernel chooses the port
  sockaddr_in name{};
  socklen_t size = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::atomic<int> calls = 0;
  const auto milter =
      Milter::Start(fd, [&calls](const std::string&) { ++calls; });
  for (int i = 0; i < 3; ++i) {
    FakeMta mta(name);
    mta.Negotiate();
    mta.SendRcpt("example.com");
    mta.EndMessage();
  }
  fprintf(stderr, "calls=%d", calls.load());
  _exit(0);
}

TEST(MilterDeathTest, TcpIsServed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ServeTcp(), testing::ExitedWithCode(0), "calls=3");
}

// In a process of its own, for one of them might be taken.
void OfferOthers() {
  int pipes[2];
  if (pipe(pipes) != 0) _exit(1);
  for (const int fd : {-1, pipes[0], socket(AF_UNIX, SOCK_DGRAM, 0)}) {
    const auto milter = Milter::Start(fd, [](const std::string&) {});
    if (milter) _exit(1);
    fprintf(stderr, "%s; ", milter.error().message.c_str());
  }
  _exit(0);
}

TEST(MilterDeathTest, WhatIsNoListeningSocketIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(OfferOthers(), testing::ExitedWithCode(0),
              "cannot start the milter.*cannot start the milter.*"
              "cannot start the milter");
}

}  // namespace
}  // namespace postern
