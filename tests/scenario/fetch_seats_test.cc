// Crowded policy hosts: names that drip keep nobody else waiting.
#include "policy-daemon/fetch_seats.h"

#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

// example.com's policy host is at 8.8.8.8, as are all who drip.
class FetchSeatsTest : public EngineTest {
 protected:
  FetchSeatsTest() { StsDomain(); }

  // Names of as many owners, whose policy files never come, are asked about.
  void AskSlowOnes(int count, const std::string& address = "8.8.8.8",
                   const std::string& under = "example") {
    for (int i = 0; i < count; ++i) {
      const std::string domain = "s" + std::to_string(next_++) + "." + under;
      dns.Txt("_mta-sts." + domain, {"v=STSv1; id=1"});
      dns.A("mta-sts." + domain, address);
      https.Drip("mta-sts." + domain);
      AskSts(domain);
    }
  }
  bool StartInBackground(const std::string& domain,
                         const std::string& address) {
    dns.A("mta-sts." + domain, address);
    FetchRequest request;
    request.domain = domain;
    request.id = "1";
    request.background = true;
    const bool started = engine().fetcher.Start(std::move(request)) != nullptr;
    world.clock.RunReady();
    return started;
  }

 private:
  int next_ = 0;
};

TEST_F(FetchSeatsTest, SixteenSlowNamesAtAnAddressHoldItForTenSeconds) {
  AskSlowOnes(16);
  const auto first = Ask(kDomain);
  world.Pass(8s);
  EXPECT_TRUE(first.value().starts_with("TEMP ")) << first.value();
  world.Pass(2s);
  EXPECT_EQ(Answer(kDomain), kSecure);
  EXPECT_EQ(https.in_flight(), 15) << "one made room";
}

TEST_F(FetchSeatsTest, WhoComesAfterThoseIsAnsweredAtOnce) {
  AskSlowOnes(16);
  world.Pass(10s);
  const auto question = Ask(kDomain);
  EXPECT_EQ(question.value(), kSecure);
}

TEST_F(FetchSeatsTest, EightySlowNamesHoldItForTheirTurns) {
  AskSlowOnes(80);
  const StsQuestion question = AskSts();
  world.Pass(50s);
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
}

TEST_F(FetchSeatsTest, OneOwnerGetsFourSeatsOfAnAddress) {
  AskSlowOnes(40, "8.8.8.8", "attacker.co.uk");
  EXPECT_EQ(https.in_flight(), 4);
  EXPECT_EQ(AskSts().facts().state, StsState::kEnforce) << "at once";
  // Those under a public suffix have owners of their own.
  AskSlowOnes(8, "8.8.8.8", "co.uk");
  EXPECT_EQ(https.in_flight(), 12);
}

TEST_F(FetchSeatsTest, AnOwnersNamesMakeRoomForEachOther) {
  AskSlowOnes(4, "8.8.8.8", "shop.example");
  AskSlowOnes(12);
  https.Serve("mta-sts.good.shop.example",
              PolicyText("enforce", "mx.example.com", kWeek));
  dns.Txt("_mta-sts.good.shop.example", {"v=STSv1; id=1"});
  dns.A("mta-sts.good.shop.example", "8.8.8.8");
  world.Pass(10s);
  EXPECT_EQ(AskSts("good.shop.example").facts().state, StsState::kEnforce);
  EXPECT_EQ(https.in_flight(), 15);
  EXPECT_TRUE(world.store.Find("s0.shop.example").failure);
  EXPECT_FALSE(world.store.Find("s4.example").failure);
}

TEST_F(FetchSeatsTest, ANetworkOf64BitsIsOneServer) {
  for (int i = 0; i < 40; ++i) {
    const std::string domain = "v" + std::to_string(i) + ".example";
    dns.Txt("_mta-sts." + domain, {"v=STSv1; id=1"});
    dns.Aaaa("mta-sts." + domain, "2a00:1450::" + std::to_string(i + 1));
    https.Drip("mta-sts." + domain);
    AskSts(domain);
  }
  EXPECT_EQ(https.in_flight(), 16);
}

TEST_F(FetchSeatsTest, AnotherAddressIsTriedWhereTheFirstIsCrowded) {
  AskSlowOnes(16);
  dns.Addresses(kPolicyHost, {"8.8.8.8", "8.8.4.4"});
  EXPECT_EQ(AskSts().facts().state, StsState::kEnforce) << "at once";
  ASSERT_EQ(https.fetches(kPolicyHost), 1);
  EXPECT_EQ(https.requests.back().address.ToString(), "8.8.4.4");
}

TEST_F(FetchSeatsTest, WhoWaitsForTwoAddressesTakesWhicheverIsFreeFirst) {
  AskSlowOnes(16);
  world.Pass(5s);
  AskSlowOnes(16, "8.8.4.4");
  dns.Addresses(kPolicyHost, {"8.8.4.4", "8.8.8.8"});
  const StsQuestion question = AskSts();
  world.Pass(5s);
  EXPECT_EQ(question.facts().state, StsState::kEnforce);
  EXPECT_EQ(https.requests.back().address.ToString(), "8.8.8.8");
}

TEST_F(FetchSeatsTest, ARefreshThatWaitsForAnAddressTakesNoOthersPlace) {
  sts_settings.max_fetches = 40;  // 10 of them for refreshes
  Restart();
  for (int i = 0; i < 20; ++i) {
    const std::string domain = "b" + std::to_string(i) + ".example";
    https.Drip("mta-sts." + domain);
    ASSERT_TRUE(StartInBackground(domain, "8.8.8.8"));
  }
  EXPECT_EQ(https.in_flight(), 4);
  ASSERT_TRUE(StartInBackground("elsewhere.example", "8.8.4.4"));
  EXPECT_EQ(https.fetches("mta-sts.elsewhere.example"), 1);
}

TEST_F(FetchSeatsTest, OneOwnersNamesDoNotFillTheWaitingRoom) {
  const auto start = [this](const std::string& domain) {
    FetchRequest request;
    request.domain = domain;
    request.id = "1";
    dns.A("mta-sts." + domain, "8.8.8.8");
    https.Drip("mta-sts." + domain);
    return engine().fetcher.Start(std::move(request)) != nullptr;
  };
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(start("n" + std::to_string(i) + ".attacker.example")) << i;
  EXPECT_FALSE(start("n100.attacker.example"));
  EXPECT_TRUE(start("n100.other.example"));
  world.Pass(5min);
  EXPECT_TRUE(start("n100.attacker.example")) << "when they have ended";
}

// Mail was held for it once; then it is answered as without a policy, but only
// until the seats are free.
TEST_F(FetchSeatsTest, ATurnThatDidNotComeIsNoFailureOfTheDomains) {
  sts_settings.max_fetches = 1;
  Restart();
  AskSlowOnes(8, "8.8.4.4");
  const auto held = Ask(kDomain);
  world.Pass(8s);
  EXPECT_TRUE(held.value().starts_with("TEMP ")) << held.value();
  world.Pass(53s);  // its turn did not come
  EXPECT_EQ(https.fetches(kPolicyHost), 0);
  const auto next = Ask(kDomain);
  EXPECT_EQ(next.value(), kNotFound) << "mail is not held again";
  world.Pass(60s);  // the seats are free
  EXPECT_EQ(Answer(kDomain), kNotFound);
  world.Pass(1s);
  EXPECT_EQ(Answer(kDomain), kSecure);
  for (const Finding& finding : world.outcomes.all)
    EXPECT_NE(finding.outcome.domain, kDomain);
}

}  // namespace
}  // namespace postern
