// Policies change while lookups are under way: what these have found before
// counts for nobody who asks afterwards.
#include "tests/support/fake_engine.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

class StaleLookupTest : public EngineTest {
 protected:
  // A lookup that has read the remembered policy, and ends ten seconds later.
  void StartLookup() {
    StsDomain();
    EXPECT_EQ(Answer(kDomain), kSecure);
    world.Pass(2h);
    dns.Txt(kTxtName, {"v=STSv1; id=1"}).After(10s);
    EXPECT_EQ(Ask(kDomain).value(), kSecure);
  }
};

TEST_F(StaleLookupTest, DoesNotBringAnOldPolicyBack) {
  StartLookup();
  Publish("2");
  ServePolicy("none");
  EXPECT_EQ(Answer("example.com:587"), kSecure);
  world.Pass(1s);
  EXPECT_EQ(Answer(kDomain), kNotFound);
  world.Pass(10s);
  EXPECT_EQ(Answer(kDomain), kNotFound);
}

TEST_F(StaleLookupTest, DoesNotBringAPurgedPolicyBack) {
  StartLookup();
  dns.NoData(kTxtName, DnsType::kTxt);
  world.store.Clear();
  service().Drop(kDomain);
  EXPECT_EQ(Answer(kDomain), kNotFound);
  world.Pass(10s);
  EXPECT_EQ(Answer(kDomain), kNotFound);
}

TEST_F(StaleLookupTest, DoesNotBringAnAnswerOfTheOldConfigurationBack) {
  StartLookup();
  dns.NoData(kTxtName, DnsType::kTxt);
  world.store.Clear();
  service().Drop("");
  EXPECT_EQ(Answer(kDomain), kNotFound);
  world.Pass(10s);
  EXPECT_EQ(Answer(kDomain), kNotFound);
  EXPECT_EQ(service().lookups_in_flight(), 0);
}

TEST_F(StaleLookupTest, WhoWaitsForTheNewPolicyIsNotStale) {
  StsDomain();
  dns.NoData("mx.example.com", DnsType::kA).After(5s);
  dns.NoData("mx.example.com", DnsType::kAaaa).After(5s);
  EXPECT_EQ(Answer(kDomain), kSecure);
  world.Pass(5s);
  EXPECT_TRUE(IsKept(kDomain));
}

}  // namespace
}  // namespace postern
