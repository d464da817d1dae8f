// The real resolver and real sockets, in virtual time: what is asked ends when
// the server answers or the test turns the clock, never by waiting.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/getdns_resolver.h"

#include "tests/support/dns_server.h"
#include "tests/support/fake_clock.h"

namespace postern {

class ResolverFixture : public testing::Test {
 protected:
  static constexpr std::chrono::milliseconds kTimeout{5000};

  // A question on its way.
  struct Asked {
    std::optional<DnsAnswer> answer;
  };

  // Nobody is left waiting.
  void TearDown() override {
    while (clock.FireNext()) {
    }
  }

  void Ask(std::vector<AddressAndPort> servers,
           TrustAd trust = TrustAd::kAuto) {
    auto made = GetdnsResolver::Create(
        loop, clock, {std::move(servers), kTimeout, trust}, metrics);
    ASSERT_TRUE(made) << made.error().message;
    resolver = std::move(*made);
  }
  std::shared_ptr<Asked> Start(std::string name, DnsType type = DnsType::kA) {
    auto asked = std::make_shared<Asked>();
    Spawn(loop.get_executor(), Query(*resolver, std::move(name), type, asked));
    clock.RunReady();
    return asked;
  }
  // The answer that the servers give without the clock being turned.
  DnsAnswer Finish(const std::shared_ptr<Asked>& asked) {
    RunUntil([&] { return asked->answer.has_value(); });
    return *asked->answer;
  }
  DnsAnswer Answer(std::string name, DnsType type = DnsType::kA) {
    return Finish(Start(std::move(name), type));
  }
  // Where no server answers: turns the clock up to the question's end.
  DnsAnswer AnswerOfSilence(std::string name) {
    const auto asked = Start(std::move(name));
    clock.AdvanceTo(clock.Now() + kTimeout);
    EXPECT_TRUE(asked->answer) << "every question ends within dns.timeout";
    return asked->answer.value_or(DnsAnswer());
  }
  // A round of probes at servers that answer.
  DnssecState Probe() {
    bool ended = false;
    Spawn(loop.get_executor(), ProbeOnce(*resolver, ended));
    RunUntil([&] { return ended; });
    return resolver->Dnssec();
  }
  // The same at servers that do not.
  DnssecState ProbeSilence() {
    bool ended = false;
    Spawn(loop.get_executor(), ProbeOnce(*resolver, ended));
    while (!ended && clock.FireNext()) {
    }
    return resolver->Dnssec();
  }
  void Pass(Seconds time) { clock.AdvanceTo(clock.Now() + time); }
  double Count(const char* name) { return metrics.Counter(name, "").Value(); }

  template <class Condition>
  void RunUntil(Condition condition) {
    while (!condition()) {
      loop.restart();
      loop.run_one();
    }
  }

  boost::asio::io_context loop{1};
  FakeClock clock{loop};
  Metrics metrics;
  std::unique_ptr<GetdnsResolver> resolver;

 private:
  static Awaitable<void> Query(GetdnsResolver& resolver, std::string name,
                               DnsType type, std::shared_ptr<Asked> asked) {
    asked->answer = co_await resolver.Query(std::move(name), type);
  }
  static Awaitable<void> ProbeOnce(GetdnsResolver& resolver, bool& ended) {
    co_await resolver.Probe();
    ended = true;
  }
};

}  // namespace postern
