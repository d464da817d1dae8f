// The server over real unix sockets, inside this thread and in virtual time.
#include "policy-daemon/socketmap_server.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "policy-daemon/socketmap.h"
#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

constexpr char kNotFound[] = "9:NOTFOUND ,";
constexpr char kDaneOnly[] = "12:OK dane-only,";
constexpr char kPerm[] = "23:PERM unknown map nosuch,";

class SocketmapServerTest : public testing::Test {
 protected:
  SocketmapServerTest() { Restart(16384); }
  void TearDown() override {
    Shut();
    world.End();
  }

  void Restart(size_t max_connections) {
    Shut();
    ListenAddress address;
    address.unix_path = path;
    auto opened = Listener::Open(world.loop, address, {});
    EXPECT_TRUE(opened);
    listener.emplace(std::move(*opened));
    server.emplace(world.loop, world.clock, engine.service,
                   SocketmapServer::Settings{max_connections}, world.metrics);
    server->Listen(*listener);
    world.clock.RunReady();
  }
  // Ends every coroutine of the server before the server goes.
  void Shut() {
    clients.clear();
    if (server) server->Stop();
    listener.reset();
    world.Pass(60s);
    server.reset();
  }

  FakeClient& Connect() {
    clients.push_back(std::make_unique<FakeClient>(world, path));
    return *clients.back();
  }
  static std::string Request(const std::string& key,
                             const std::string& map = "policy") {
    return EncodeNetstring(map + " " + key);
  }
  static std::string AskOver(FakeClient& client, const std::string& key,
                             const std::string& map = "policy") {
    client.Send(Request(key, map));
    return client.Read();
  }
  void DaneDomain(const std::string& domain, Duration delay = 0s) {
    world.dns.Mx(domain, {"mx." + domain}).After(delay);
    world.dns.DaneHost("mx." + domain);
  }
  // A domain whose MX lookup never ends.
  void HungDomain(const std::string& domain) {
    world.dns.NoData(domain, DnsType::kMx).Never();
  }
  double Open() {
    return world.metrics
        .Gauge("postern_connections", "Open socketmap connections")
        .Value();
  }
  double Malformed() {
    return world.metrics
        .Counter("postern_malformed_requests_total",
                 "Connections closed for bad framing")
        .Value();
  }

  FakeWorld world;
  FakeEngine engine{world, {}, {}};
  const std::string path =
      testing::TempDir() + "/postern-socketmap-" + std::to_string(getpid());
  std::optional<Listener> listener;
  std::optional<SocketmapServer> server;
  std::vector<std::unique_ptr<FakeClient>> clients;
};

using ServerRequestTest = SocketmapServerTest;
using ServerBadInputTest = SocketmapServerTest;
using ServerPatienceTest = SocketmapServerTest;
using ServerRoomTest = SocketmapServerTest;
using ServerStopTest = SocketmapServerTest;

// --- Requests and answers.

TEST_F(ServerRequestTest, AnswersAndKeepsTheConnection) {
  DaneDomain("example.com");
  FakeClient& client = Connect();
  EXPECT_EQ(AskOver(client, "example.com"), kDaneOnly);
  EXPECT_EQ(AskOver(client, ".com"), kNotFound);
  EXPECT_EQ(AskOver(client, "example.com"), kDaneOnly);
  EXPECT_FALSE(client.closed());
}

// So that a session in Postfix's log finds its policy.
TEST_F(ServerRequestTest, TellsWhoAskedBeforeTheAnswerGoesOut) {
  engine.service.Use({.reply = {.with_policy = true}}, {});
  struct Told {
    uint32_t pid;
    std::string key;
    AnsweredPolicy::Demand demand;
    std::string domain;
  };
  std::vector<Told> told;
  server->TellOfAnswers(
      [&](uint32_t pid, std::string_view key, AnsweredPolicyPtr policy) {
        told.push_back({pid, std::string(key), policy->demand, policy->domain});
      });
  DaneDomain("example.com");
  FakeClient& client = Connect();
  for (const char* key : {"Example.com", "example.com", ".com", "192.0.2.1"})
    AskOver(client, key);
  using Demand = AnsweredPolicy::Demand;
  ASSERT_EQ(told.size(), 3u) << "a parent key's answer is never a policy";
  for (const Told& one : told)
    EXPECT_EQ(one.pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(told[0].key, "Example.com");
  EXPECT_EQ(told[0].domain, "example.com");
  EXPECT_EQ(told[0].demand, Demand::kAuthentication);
  EXPECT_EQ(told[1].demand, Demand::kAuthentication) << "from memory";
  EXPECT_EQ(told[2].domain, "") << "an address";
}

TEST_F(ServerRequestTest, EveryMapNameIsServed) {
  DaneDomain("example.com");
  FakeClient& client = Connect();
  for (const char* map :
       {"policy", "QUERY", "postfix", "policy-tlsrpt", "QUERYwithTLSRPT"})
    EXPECT_EQ(AskOver(client, "example.com", map), kDaneOnly) << map;
}

TEST_F(ServerRequestTest, PipelinedRequestsAreAnsweredInOrder) {
  DaneDomain("slow.example", 3s);
  DaneDomain("quick.example");
  FakeClient& client = Connect();
  client.Send(Request("slow.example") + Request(".parent") +
              Request("quick.example") + Request("x", "nosuch"));
  EXPECT_EQ(client.Read(), "");
  world.Pass(3s);
  EXPECT_EQ(client.Read(),
            std::string(kDaneOnly) + kNotFound + kDaneOnly + kPerm);
}

TEST_F(ServerRequestTest, ARequestMayComeByteByByte) {
  DaneDomain("example.com");
  FakeClient& client = Connect();
  std::string answers;
  for (const char c : Request("example.com") + Request(".x")) {
    client.Send({&c, 1});
    answers += client.Read();
  }
  EXPECT_EQ(answers, std::string(kDaneOnly) + kNotFound);
}

TEST_F(ServerRequestTest, ARequestMayEndInsideTheNext) {
  const std::string both = Request(".x") + Request(".y");
  for (size_t cut = 1; cut < both.size(); ++cut) {
    FakeClient client(world, path);
    client.Send(both.substr(0, cut));
    std::string answers = client.Read();
    client.Send(both.substr(cut));
    answers += client.Read();
    EXPECT_EQ(answers, std::string(kNotFound) + kNotFound) << cut;
  }
}

TEST_F(ServerRequestTest, ManyPipelinedRequestsAreAllAnswered) {
  FakeClient& client = Connect();
  std::string requests, answers;
  for (int i = 0; i < 2000; ++i) requests += Request(".x");
  while (!requests.empty()) {
    requests.erase(0, client.Send(requests.substr(0, 5000)));
    answers += client.Read();
  }
  EXPECT_EQ(answers.size(), 2000 * std::string(kNotFound).size());
}

TEST_F(ServerRequestTest, ClientsDoNotWaitForEachOther) {
  HungDomain("hung.example");
  DaneDomain("example.com");
  FakeClient& hung = Connect();
  hung.Send(Request("hung.example"));
  EXPECT_EQ(AskOver(Connect(), "example.com"), kDaneOnly);
  EXPECT_EQ(hung.Read(), "");
  world.Pass(8s);
  EXPECT_NE(hung.Read().find("TEMP "), std::string::npos);
}

TEST_F(ServerRequestTest, AHalfClosedClientStillGetsItsAnswers) {
  DaneDomain("example.com", 2s);
  FakeClient& client = Connect();
  client.Send(Request("example.com") + Request(".x"));
  client.EndInput();
  world.Pass(2s);
  EXPECT_EQ(client.Read(), std::string(kDaneOnly) + kNotFound);
  EXPECT_TRUE(client.closed());
}

TEST_F(ServerRequestTest, AClientThatLeavesDuringItsLookupDoesNoHarm) {
  DaneDomain("example.com", 2s);
  Connect().Send(Request("example.com"));
  clients.clear();
  world.Pass(3s);
  EXPECT_EQ(Open(), 0);
  EXPECT_EQ(AskOver(Connect(), "example.com"), kDaneOnly);
}

// --- What nobody should send.

TEST_F(ServerBadInputTest, MalformedFramingClosesThatConnectionOnly) {
  const std::vector<std::string> bad = {"x",
                                        "12policy a,",
                                        ":,",
                                        "-1:a,",
                                        "01:a,",
                                        "3:abcd",
                                        " 8:policy a,",
                                        "8:policy ab",
                                        "000000000:",
                                        "8:policy a\n",
                                        std::string("\0", 1)};
  FakeClient& other = Connect();
  for (const std::string& bytes : bad) {
    FakeClient client(world, path);
    client.Send(bytes);
    EXPECT_EQ(client.Read(), "") << bytes;
    EXPECT_TRUE(client.closed()) << bytes;
  }
  EXPECT_EQ(AskOver(other, ".x"), kNotFound);
  EXPECT_EQ(Malformed(), static_cast<double>(bad.size()));
}

TEST_F(ServerBadInputTest, WhatCameBeforeBadFramingIsAnswered) {
  FakeClient& client = Connect();
  client.Send(Request(".x") + "garbage");
  EXPECT_EQ(client.Read(), kNotFound);
  EXPECT_TRUE(client.closed());
}

TEST_F(ServerBadInputTest, OverTheLimitClosesBeforeItIsSent) {
  for (const char* begin : {"10241:", "99999:", "18446744073709551617:"}) {
    FakeClient client(world, path);
    client.Send(begin);
    EXPECT_TRUE(client.closed()) << begin;
  }
}

TEST_F(ServerBadInputTest, AtTheLimitIsNotFoundAndTheConnectionStays) {
  FakeClient& client = Connect();
  EXPECT_EQ(AskOver(client, std::string(10240 - 7, 'a')), kNotFound);
  EXPECT_EQ(AskOver(client, ".x"), kNotFound);
  EXPECT_FALSE(client.closed());
}

TEST_F(ServerBadInputTest, AnUnknownMapIsPermAndTheConnectionStays) {
  FakeClient& client = Connect();
  EXPECT_EQ(AskOver(client, "example.com", "nosuch"), kPerm);
  EXPECT_EQ(AskOver(client, ".x"), kNotFound);
  // Its name cannot break the reply.
  EXPECT_EQ(AskOver(client, "k", "a\nb,9:OK x,").find('\n'), std::string::npos);
  EXPECT_FALSE(client.closed());
}

TEST_F(ServerBadInputTest, BinaryEmptyAndLongKeysAreNotFound) {
  FakeClient& client = Connect();
  for (const std::string& key :
       {std::string(), std::string(1, '\0'), std::string("\xff\xfe\x80"),
        std::string("a\0b.example", 11), std::string(256, 'a'),
        std::string(5000, '\xc3'), std::string("example.com example.com"),
        std::string("\r\n"), std::string("x,9:NOTFOUND ,")})
    EXPECT_EQ(AskOver(client, key), kNotFound) << key;
  client.Send("6:policy,");  // not even a blank
  EXPECT_EQ(client.Read(), kNotFound);
  EXPECT_FALSE(client.closed());
  EXPECT_EQ(world.dns.queries(), 0);
}

// --- Clients that take their time.

class ServerSlowReaderTest : public SocketmapServerTest {
 protected:
  // Answers of about 50 KB, 100 times asked for: more than a socket holds,
  // and more than it takes at once.
  void Flood(FakeClient& client) {
    std::string policy = "version: STSv1\nmode: enforce\nmax_age: 86400\n";
    for (int i = 0; i < 2400; ++i)
      policy += "mx: host" + std::to_string(i) + ".example.com\n";
    world.dns.Mx("example.com", {"mx.example.com"}).Insecure();
    world.dns.PlainHost("mx.example.com");
    world.dns.Txt("_mta-sts.example.com", {"v=STSv1; id=1"});
    world.dns.A("mta-sts.example.com", "8.8.8.8");
    world.https.Serve("mta-sts.example.com", policy);
    std::string requests;
    for (int i = 0; i < kAsked; ++i) requests += Request("example.com");
    EXPECT_EQ(client.Send(requests), requests.size());
  }
  static constexpr int kAsked = 100;
};

TEST_F(ServerSlowReaderTest, GetsEverythingWithinThePatience) {
  FakeClient& client = Connect();
  Flood(client);
  std::string answers;
  for (int i = 0; i < 20; ++i) {
    world.Pass(1s);
    answers += client.Read();
  }
  const std::string one = AskOver(Connect(), "example.com");
  EXPECT_GT(one.size(), 40000u);
  EXPECT_EQ(answers.size(), kAsked * one.size());
  EXPECT_EQ(answers.substr(answers.size() - one.size()), one);
}

TEST_F(ServerSlowReaderTest, WhoDoesNotReadIsSentAwayAndHindersNobody) {
  FakeClient& client = Connect();
  Flood(client);
  EXPECT_EQ(AskOver(Connect(), ".x"), kNotFound);
  world.Pass(29s);
  EXPECT_EQ(Open(), 2);
  world.Pass(15s);
  EXPECT_EQ(Open(), 1);
}

TEST_F(ServerPatienceTest, AnIdleConnectionIsKeptForMinutes) {
  FakeClient& client = Connect();
  AskOver(client, ".x");
  world.Pass(590s);
  EXPECT_FALSE(client.closed());
  EXPECT_EQ(AskOver(client, ".x"), kNotFound);
  world.Pass(590s);
  EXPECT_FALSE(client.closed());
  world.Pass(30s);
  EXPECT_TRUE(client.closed());
}

TEST_F(ServerPatienceTest, AnUnfinishedRequestIsWaitedForABit) {
  FakeClient& client = Connect();
  client.Send("18:policy exam");
  world.Pass(29s);
  EXPECT_FALSE(client.closed());
  world.Pass(15s);
  EXPECT_TRUE(client.closed());
}

TEST_F(ServerPatienceTest, ALookupIsNotMistakenForIdleness) {
  HungDomain("hung.example");
  world.Pass(5s);
  FakeClient& client = Connect();
  world.Pass(599s);
  // A sweep comes before the answer, after the connection's idle time.
  client.Send(Request("hung.example"));
  world.Pass(8s);
  EXPECT_NE(client.Read().find("TEMP "), std::string::npos);
  EXPECT_FALSE(client.closed());
}

// --- max_connections.

TEST_F(ServerRoomTest, TheLongestIdleOneMakesRoom) {
  Restart(3);
  FakeClient& first = Connect();
  FakeClient& second = Connect();
  FakeClient& third = Connect();
  world.Pass(1s);
  AskOver(first, ".x");  // now the second is idle for the longest time
  world.Pass(1s);
  FakeClient& fourth = Connect();
  EXPECT_FALSE(first.closed());
  EXPECT_TRUE(second.closed());
  EXPECT_FALSE(third.closed());
  EXPECT_EQ(AskOver(fourth, ".x"), kNotFound);
  EXPECT_EQ(Open(), 3);
}

TEST_F(ServerRoomTest, ABusyOneDoesNotMakeRoom) {
  Restart(2);
  DaneDomain("example.com", 2s);
  FakeClient& busy = Connect();
  busy.Send(Request("example.com"));
  world.Pass(1s);
  Connect();
  Connect();
  world.Pass(1s);
  EXPECT_EQ(busy.Read(), kDaneOnly);
}

TEST_F(ServerRoomTest, OneAmidItsRequestDoesNotMakeRoomForAnIdleOne) {
  Restart(2);
  FakeClient& idle = Connect();
  world.Pass(100s);
  FakeClient& asking = Connect();
  const std::string request = Request(".x");
  asking.Send(request.substr(0, 5));
  Connect();
  asking.Send(request.substr(5));
  EXPECT_EQ(asking.Read(), kNotFound);
  EXPECT_TRUE(idle.closed());
}

TEST_F(ServerRoomTest, TheLimitHoldsAlsoWhereAllAreBusy) {
  Restart(3);
  HungDomain("hung.example");
  for (int i = 0; i < 10; ++i) Connect().Send(Request("hung.example"));
  EXPECT_LE(Open(), 3);
}

TEST_F(ServerRoomTest, AManyTimesRepeatedConnectStaysWithinTheLimit) {
  Restart(3);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(AskOver(Connect(), ".x"), kNotFound);
    EXPECT_LE(Open(), 3);
  }
}

// --- Stop().

TEST_F(ServerStopTest, IdleConnectionsCloseAtOnce) {
  FakeClient& fresh = Connect();
  FakeClient& used = Connect();
  AskOver(used, ".x");
  server->Stop();
  EXPECT_TRUE(fresh.closed());
  EXPECT_TRUE(used.closed());
  EXPECT_EQ(server->busy(), 0u);
  EXPECT_EQ(Open(), 0);
}

TEST_F(ServerStopTest, BusyOnesGetTheirAnswerFirst) {
  DaneDomain("example.com", 3s);
  FakeClient& busy = Connect();
  busy.Send(Request("example.com"));
  server->Stop();
  EXPECT_EQ(server->busy(), 1u);
  EXPECT_FALSE(busy.closed());
  world.Pass(3s);
  EXPECT_EQ(busy.Read(), kDaneOnly);
  EXPECT_TRUE(busy.closed());
  EXPECT_EQ(server->busy(), 0u);
}

TEST_F(ServerStopTest, WithinTheAnswerTimeoutNobodyIsBusyAnyMore) {
  HungDomain("hung.example");
  for (int i = 0; i < 5; ++i) Connect().Send(Request("hung.example"));
  server->Stop();
  EXPECT_EQ(server->busy(), 5u);
  world.Pass(8s);
  EXPECT_EQ(server->busy(), 0u);
  for (const auto& client : clients)
    EXPECT_NE(client->Read().find("TEMP "), std::string::npos);
}

TEST_F(ServerStopTest, NobodyNewGetsInAndTheSocketFileGoes) {
  server->Stop();
  listener->Close();
  EXPECT_FALSE(FakeClient(world, path).connected());
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace postern
