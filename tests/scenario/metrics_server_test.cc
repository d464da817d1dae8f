// GET /metrics over a real socket, and what else people send there.
#include "common/metrics_server.h"

#include <string>

#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/fake_world.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class MetricsServerTest : public testing::Test {
 protected:
  MetricsServerTest() {
    world.metrics.Counter("postern_test_total", "Counted by the test")
        .Increment(7);
    ListenAddress address;
    address.unix_path = path;
    auto opened = Listener::Open(world.loop, address, {});
    EXPECT_TRUE(opened);
    listener.emplace(std::move(*opened));
    server.Listen(*listener);
  }
  void TearDown() override {
    listener.reset();
    world.End();
  }
  std::string Ask(const std::string& request) {
    FakeClient client(world, path);
    client.Send(request);
    const std::string answer = client.Read();
    EXPECT_TRUE(client.closed());
    return answer;
  }

  FakeWorld world;
  const std::string path =
      testing::TempDir() + "/postern-metrics-" + std::to_string(getpid());
  MetricsServer server{world.loop, world.clock, world.metrics};
  std::optional<Listener> listener;
};

TEST_F(MetricsServerTest, TellsTheCounters) {
  const std::string answer = Ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("text/plain; version=0.0.4"), std::string::npos);
  EXPECT_NE(answer.find("\npostern_test_total 7"), std::string::npos);
  const size_t body = answer.find("\r\n\r\n") + 4;
  EXPECT_NE(answer.find("Content-Length: " +
                        std::to_string(answer.size() - body) + "\r\n"),
            std::string::npos);
}

TEST_F(MetricsServerTest, TellsOfTheProgramsMemory) {
  const std::string answer = Ask("GET /metrics HTTP/1.1\r\n\r\n");
  const std::string resident = "\nprocess_resident_memory_bytes ";
  const size_t at = answer.find(resident);
  ASSERT_NE(at, std::string::npos) << answer;
  EXPECT_GT(std::stod(answer.substr(at + resident.size())), 1 << 20);
}

TEST_F(MetricsServerTest, ARequestMayComeInPieces) {
  FakeClient client(world, path);
  for (const char c : std::string("GET /metrics HTTP/1.1\r\n\r\n"))
    client.Send({&c, 1});
  EXPECT_TRUE(client.Read().starts_with("HTTP/1.1 200 "));
}

TEST_F(MetricsServerTest, AnotherPathIsNotFound) {
  EXPECT_TRUE(Ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(
      Ask("GET /metricsx HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

TEST_F(MetricsServerTest, AnotherMethodIsNotAllowed) {
  EXPECT_TRUE(
      Ask("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 405 "));
}

TEST_F(MetricsServerTest, AnOversizedRequestIsCutOff) {
  FakeClient client(world, path);
  client.Send("GET /metrics HTTP/1.1\r\nX: " + std::string(20000, 'x'));
  EXPECT_EQ(client.Read(), "");
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(
      Ask("GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_F(MetricsServerTest, WhoSaysNothingIsSentAwayAfterSeconds) {
  FakeClient client(world, path);
  world.Pass(4s);
  EXPECT_FALSE(client.closed());
  world.Pass(2s);
  EXPECT_TRUE(client.closed());
}

TEST_F(MetricsServerTest, AFloodPasses) {
  std::vector<std::unique_ptr<FakeClient>> flood;
  for (int i = 0; i < 40; ++i)
    flood.push_back(std::make_unique<FakeClient>(world, path));
  world.Pass(20s);
  for (const auto& client : flood) EXPECT_TRUE(client->closed());
  EXPECT_TRUE(
      Ask("GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace postern
