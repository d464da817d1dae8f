// From Postfix's datagrams to the spool, with real threads and sockets.
#include "policy-daemon/outcome_recorder.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <new>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/outcome_json.h"
#include "common/spool_files.h"

#include "policy-daemon/tlsrpt_receiver.h"

namespace postern {
namespace {

constexpr Seconds kPatience{60};
constexpr WallTime kNow{
    std::chrono::sys_days{std::chrono::year{2026} / 11 / 22}};

std::string SuccessOf(const std::string& domain) {
  return R"({"dpv": "1","d": ")" + domain +
         R"(","pr": "v=TLSRPTv1; rua=mailto:r@example.org","policies":)" +
         R"([{"policy-type":9,"t":0,"f":0}]})";
}
std::string FailureOf(const std::string& domain) {
  return R"({"dpv": "1","d": ")" + domain +
         R"(","pr": "v=TLSRPTv1; rua=mailto:r@example.org","policies":)" +
         R"([{"policy-type":9,"failure-details":[{"c":201}],"t":1,"f":1}]})";
}

class OutcomeRecorderTest : public testing::Test {
 protected:
  OutcomeRecorderTest() {
    std::filesystem::create_directory(folder);
    settings.directory = folder / "outcomes";
    Start();
  }
  ~OutcomeRecorderTest() override {
    receiver.reset();
    recorder.reset();
    std::filesystem::remove_all(folder);
  }

  void Start() {
    recorder.reset();
    recorder = std::make_unique<OutcomeRecorder>(
        settings,
        OutcomeRecorder::Times{[this] { return kNow + since.load(); },
                               [this] {
                                 ++looks;
                                 return BootTime(since.load());
                               }},
        metrics);
  }
  void Listen() {
    auto socket = DatagramSocket::Open(path, {});
    ASSERT_TRUE(socket);
    std::vector<DatagramSocket> sockets;
    sockets.push_back(std::move(*socket));
    receiver = std::make_unique<TlsrptReceiver>(std::move(sockets), *recorder);
  }
  // Waits where the socket is full.
  void Send(const std::string& datagram) {
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    EXPECT_EQ(sendto(fd, datagram.data(), datagram.size(), 0,
                     reinterpret_cast<const sockaddr*>(&name), sizeof name),
              static_cast<ssize_t>(datagram.size()));
    close(fd);
  }
  void Append(const std::string& datagram) {
    const std::string_view view = datagram;
    recorder->AppendDatagrams({&view, 1});
  }
  // All that was sent, once it is on disk.
  std::vector<Outcome> Finish() {
    if (receiver) {
      EXPECT_TRUE(receiver->Stop(kPatience));
    }
    EXPECT_TRUE(recorder->Finish(kPatience));
    std::vector<Outcome> outcomes;
    std::ifstream file(SpoolPath(settings.directory, DayOf(kNow)));
    for (std::string line; std::getline(file, line);) {
      const auto outcome = ParseOutcomeLine(line);
      EXPECT_TRUE(outcome) << line;
      if (outcome) outcomes.push_back(*outcome);
    }
    return outcomes;
  }
  static uint64_t Sessions(const std::vector<Outcome>& outcomes) {
    uint64_t sessions = 0;
    for (const Outcome& outcome : outcomes)
      sessions += outcome.successful + outcome.failed;
    return sessions;
  }
  double Count(const std::string& name) {
    return metrics.Counter(name, "").Value();
  }
  double Refused(const std::string& reason) {
    return metrics
        .Counter("postern_tlsrpt_refused_total", "", {{"reason", reason}})
        .Value();
  }

  const std::filesystem::path folder =
      testing::TempDir() + "/postern-outcomes-" + std::to_string(getpid());
  std::string path = folder / "tlsrpt.sock";
  Metrics metrics;
  OutcomeRecorder::Settings settings;
  // By both clocks; looks at the boot clock.
  std::atomic<Seconds> since{};
  std::atomic<int> looks = 0;
  std::unique_ptr<OutcomeRecorder> recorder;
  std::unique_ptr<TlsrptReceiver> receiver;
};

using TlsrptReceiverTest = OutcomeRecorderTest;

TEST_F(OutcomeRecorderTest, ADatagramIsALine) {
  Append(FailureOf("example.com"));
  const auto outcomes = Finish();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].domain, "example.com");
  EXPECT_EQ(outcomes[0].at, kNow);
  EXPECT_EQ(outcomes[0].failed, 1u);
}

TEST_F(OutcomeRecorderTest, SoIsWhatTheDaemonFoundItself) {
  Outcome outcome;
  outcome.at = kNow;
  outcome.domain = "example.com";
  outcome.source = OutcomeSource::kPolicy;
  outcome.failure_details.emplace_back();
  recorder->Record(outcome);
  EXPECT_EQ(Finish(), std::vector<Outcome>{outcome});
}

TEST_F(OutcomeRecorderTest, NoSessionIsLostHoweverTheyAreMerged) {
  for (int i = 0; i < 3000; ++i) {
    Append(SuccessOf("d" + std::to_string(i % 7) + ".example"));
    if (i % 3 == 0) Append(FailureOf("example.com"));
  }
  EXPECT_EQ(Sessions(Finish()), 4000u);
}

TEST_F(OutcomeRecorderTest, WhatIsNoDatagramCostsACount) {
  for (const char* bad : {"", "{", "[]", R"({"dpv":"2"})"}) Append(bad);
  Append(SuccessOf("example.com"));
  EXPECT_EQ(Finish().size(), 1u);
  EXPECT_EQ(Refused("empty"), 1);
  EXPECT_EQ(Refused("not-json"), 1);
  EXPECT_EQ(Refused("foreign-version"), 1);
}

TEST_F(OutcomeRecorderTest, AFullInboxHoldsDatagramsBack) {
  settings.max_waiting_bytes = 1000;
  Start();
  for (int i = 0; i < 2000; ++i) Append(FailureOf("example.com"));
  EXPECT_EQ(Sessions(Finish()), 2000u);
  EXPECT_EQ(Count("postern_outcomes_lost_total"), 0);
}

// --- Trouble with the spool.

TEST_F(OutcomeRecorderTest, WhatCannotBeWrittenIsCounted) {
  std::ofstream(settings.directory) << "in the way";
  Append(SuccessOf("example.com"));
  Append(FailureOf("example.com"));
  EXPECT_TRUE(recorder->Finish(kPatience));
  EXPECT_EQ(Count("postern_outcomes_lost_total"), 2);
  EXPECT_EQ(metrics.Gauge("postern_spool_failing", "").Value(), 1);
}

TEST_F(OutcomeRecorderTest, ItGoesOnByItselfWhenTheFolderIsThere) {
  std::ofstream(settings.directory) << "in the way";
  Append(FailureOf("a.example"));
  while (Count("postern_outcomes_lost_total") < 1) std::this_thread::yield();
  std::filesystem::remove(settings.directory);
  Append(FailureOf("b.example"));
  const auto outcomes = Finish();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].domain, "b.example");
  EXPECT_EQ(metrics.Gauge("postern_spool_failing", "").Value(), 0);
}

TEST_F(OutcomeRecorderTest, WhatThrowsCostsWhatIsInHandAndNoThread) {
  std::atomic<bool> throws = true;
  recorder = std::make_unique<OutcomeRecorder>(
      settings,
      OutcomeRecorder::Times{[&] {
                               if (throws) throw std::bad_alloc();
                               return kNow;
                             },
                             [] { return BootTime(0); }},
      metrics);
  for (int round = 1; round <= 3; ++round) {
    Append(SuccessOf("a.example"));
    while (Count("postern_outcomes_lost_total") < round)
      std::this_thread::yield();
  }
  throws = false;
  Append(FailureOf("b.example"));
  const auto outcomes = Finish();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].domain, "b.example");
  EXPECT_EQ(Count("postern_outcomes_lost_total"), 3);
}

// --- What is held, and what is old.

TEST_F(OutcomeRecorderTest, FailuresWithoutEndAreALineAMinute) {
  for (int minute = 0; minute < 3; ++minute) {
    for (int i = 0; i < 1000; ++i) Append(FailureOf("example.com"));
    const int all = 1000 * (minute + 1);
    // As before the minute is over.
    while (Count("postern_outcomes_written_total") +
               metrics.Gauge("postern_outcomes_held", "").Value() <
           all)
      std::this_thread::yield();
    since = since.load() + Seconds(60);
    while (Count("postern_outcomes_written_total") < all)
      std::this_thread::yield();
  }
  const auto outcomes = Finish();
  EXPECT_EQ(outcomes.size(), 20u + 3u);
  EXPECT_EQ(Sessions(outcomes), 3000u);
}

// Each is in the file of its day, whatever the clock does.
TEST_F(OutcomeRecorderTest, WhatIsHeldAtMidnightIsOfTheDayBefore) {
  for (int i = 0; i < 100; ++i) Append(FailureOf("example.com"));
  while (metrics.Gauge("postern_outcomes_held", "").Value() < 80)
    std::this_thread::yield();
  since = Seconds(86400);
  for (int i = 0; i < 7; ++i) Append(FailureOf("example.com"));
  EXPECT_EQ(Sessions(Finish()), 100u);
  EXPECT_EQ(std::filesystem::file_size(SpoolPath(
                settings.directory, DayOf(kNow) + std::chrono::days(1))) > 0,
            true);
}

TEST_F(OutcomeRecorderTest, OutcomesAndDatagramsHaveRoomApart) {
  settings.max_outcome_bytes = 0;
  Start();
  recorder->Record({});
  EXPECT_EQ(Count("postern_outcomes_lost_total"), 1);
  Append(FailureOf("example.com"));
  EXPECT_EQ(Finish().size(), 1u);
}

TEST_F(OutcomeRecorderTest, OldDaysGoByAnEvenClockAlone) {
  recorder.reset();
  std::filesystem::create_directory(settings.directory);
  settings.keep_days = 2;
  const auto of_day = [this](int ago) {
    return SpoolPath(settings.directory, DayOf(kNow) - std::chrono::days(ago));
  };
  for (int ago = 1; ago < 8; ++ago) std::ofstream(of_day(ago)) << "\n";
  Start();
  Append(SuccessOf("a.example"));
  while (Count("postern_outcomes_written_total") < 1 || looks < 1)
    std::this_thread::yield();
  for (int ago = 1; ago < 8; ++ago)
    EXPECT_TRUE(std::filesystem::exists(of_day(ago)));
  since = Seconds(700);
  Append(SuccessOf("b.example"));
  while (std::filesystem::exists(of_day(6))) std::this_thread::yield();
  Finish();
  EXPECT_FALSE(std::filesystem::exists(of_day(7)));
  EXPECT_TRUE(std::filesystem::exists(of_day(5)));
}

// --- The socket.

TEST_F(TlsrptReceiverTest, ASenderThatWaitsLosesNothing) {
  Listen();
  for (int i = 0; i < 5000; ++i)
    Send(FailureOf("d" + std::to_string(i) + ".example"));
  EXPECT_EQ(Finish().size(), 5000u);
  EXPECT_EQ(Count("postern_tlsrpt_datagrams_total"), 5000);
}

TEST_F(TlsrptReceiverTest, WhatIsTooLongIsRefusedAsSuch) {
  Listen();
  Send(std::string(kMaxDatagramBytes + 1, ' '));
  Send(std::string(kMaxDatagramBytes + 50000, ' '));
  Send(FailureOf("example.com"));
  EXPECT_EQ(Finish().size(), 1u);
  EXPECT_EQ(Refused("too-long"), 2);
}

TEST_F(TlsrptReceiverTest, ItsFileGoesWithIt) {
  Listen();
  EXPECT_TRUE(std::filesystem::exists(path));
  Finish();
  EXPECT_FALSE(std::filesystem::exists(path));
}

// Socket activation: the socket is systemd's, and outlives the process.
TEST_F(TlsrptReceiverTest, AnInheritedSocketKeepsWhatComesMeanwhile) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  for (int i = 0; i < 3; ++i) {
    Send(FailureOf("before.example"));
    auto socket = DatagramSocket::Adopt(dup(fd));
    ASSERT_TRUE(socket);
    std::vector<DatagramSocket> sockets;
    sockets.push_back(std::move(*socket));
    receiver = std::make_unique<TlsrptReceiver>(std::move(sockets), *recorder);
    Send(FailureOf("during.example"));
    while (Count("postern_tlsrpt_datagrams_total") < 2 * i + 2)
      std::this_thread::yield();
    EXPECT_TRUE(receiver->Stop(kPatience));
    receiver.reset();
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  close(fd);
  EXPECT_EQ(Finish().size(), 6u);
}

// It is told once, and not asked for ever.
TEST_F(TlsrptReceiverTest, ASocketThatIsNoneIsGivenUpTheOthersAreServed) {
  // poll() says of one that it can be read, of the other that it is hung up.
  for (const int number : {open("/dev/null", O_RDWR | O_CLOEXEC),
                           socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}) {
    testing::internal::CaptureStderr();
    std::vector<DatagramSocket> sockets;
    for (const char* name : {"a.sock", "b.sock"}) {
      auto socket = DatagramSocket::Open(folder / name, {});
      ASSERT_TRUE(socket);
      sockets.push_back(std::move(*socket));
    }
    dup2(number, sockets[0].fd());
    close(number);
    receiver = std::make_unique<TlsrptReceiver>(std::move(sockets), *recorder);
    const double before = Count("postern_tlsrpt_datagrams_total");
    path = folder / "b.sock";
    for (int i = 0; i < 100; ++i) Send(FailureOf("example.com"));
    while (Count("postern_tlsrpt_datagrams_total") < before + 100)
      std::this_thread::yield();
    EXPECT_TRUE(receiver->Stop(kPatience));
    receiver.reset();
    const std::string log = testing::internal::GetCapturedStderr();
    const size_t told = log.find("event=tlsrpt_socket_lost");
    EXPECT_NE(told, log.npos);
    EXPECT_EQ(log.find("event=tlsrpt_socket_lost", told + 1), log.npos);
  }
}

TEST_F(TlsrptReceiverTest, TwoSocketsAreServed) {
  std::vector<DatagramSocket> sockets;
  for (const char* name : {"a.sock", "b.sock"}) {
    auto socket = DatagramSocket::Open(folder / name, {});
    ASSERT_TRUE(socket);
    sockets.push_back(std::move(*socket));
  }
  receiver = std::make_unique<TlsrptReceiver>(std::move(sockets), *recorder);
  for (const char* name : {"a.sock", "b.sock"}) {
    path = folder / name;
    for (int i = 0; i < 100; ++i) Send(FailureOf("example.com"));
  }
  EXPECT_EQ(Sessions(Finish()), 200u);
}

}  // namespace
}  // namespace postern
