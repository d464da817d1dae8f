// Everything between a question and the world, on a FakeWorld: what Engine
// puts together in the daemon, and a fixture with domains to ask about.
//
//   class MyTest : public EngineTest {};
//   TEST_F(MyTest, ...) {
//     StsDomain();
//     StartRefresher();
//     EXPECT_EQ(Answer("example.com"), kSecure);
//     Kill();  // and a new engine on the same store
//   }
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "policy-daemon/dane_lookup.h"
#include "policy-daemon/policy_fetcher.h"
#include "policy-daemon/policy_service.h"
#include "policy-daemon/refresher.h"
#include "policy-daemon/sts_lookup.h"
#include "tests/support/fake_world.h"

namespace postern {

// The store as one process sees it: once that has ended, nothing more of it
// reaches the disk, and whoever works off the agenda ends.
class ProcessStore final : public PolicyStore {
 public:
  explicit ProcessStore(FakeStore& disk) : disk_(disk) {}

  void End() { ended_ = true; }

  StsMemory Find(const std::string& domain) override;
  Awaitable<void> PutPolicy(std::string domain, StoredPolicy policy) override;
  void PutFailure(const std::string& domain, FailedFetch failure) override;
  void NoteUse(const std::string& domain, WallTime used_at,
               WallTime check_at) override;
  void Schedule(const std::string& domain, WallTime fetched_at,
                WallTime check_at) override;
  void Forget(const std::string& domain) override;
  void NoteExpired(const std::string& domain, WallTime now) override;
  Awaitable<std::vector<std::string>> Due(WallTime now, size_t limit) override;

 private:
  FakeStore& disk_;
  bool ended_ = false;
};

struct FakeEngine {
  FakeEngine(FakeWorld& world, const StsSettings& sts_settings,
             const PolicyService::Settings& settings);

  ProcessStore store;
  OutageWatch outage;
  PolicyFetcher fetcher;
  StsLookup sts;
  DaneLookup dane;
  Refresher refresher;
  // By the lookups of the service.
  std::shared_ptr<size_t> bytes_held = std::make_shared<size_t>(0);
  PolicyService service;
};

// Of the answers that tests are after, without the netstring's frame.
inline constexpr char kSecure[] =
    "OK secure match=mx.example.com servername=hostname";
inline constexpr char kNotFound[] = "NOTFOUND ";
inline constexpr char kDaneOnly[] = "OK dane-only";
inline constexpr char kDane[] = "OK dane";

inline constexpr int kDay = 86400;
inline constexpr int kWeek = 7 * kDay;

inline constexpr char kDomain[] = "example.com";
inline constexpr char kTxtName[] = "_mta-sts.example.com";
inline constexpr char kPolicyHost[] = "mta-sts.example.com";

class EngineTest : public testing::Test {
 protected:
  EngineTest() { Restart(); }
  void TearDown() override;

  // Ends the engine as kill -9 does, and starts one with the settings as they
  // are now on the same store. The refresher is started again if it ran.
  void Restart();
  void StartRefresher();
  FakeEngine& engine() { return *engines_.back(); }
  PolicyService& service() { return engine().service; }

  // --- Questions.

  Started<std::string> Ask(const std::string& key,
                           Dialect dialect = Dialect::kPolicy);
  // The answer, which must come at once.
  std::string Answer(const std::string& key,
                     Dialect dialect = Dialect::kPolicy);
  // The answer, which may take so long. The time passes until it comes.
  std::string AnswerWithin(Duration patience, const std::string& key,
                           Dialect dialect = Dialect::kPolicy);
  // True if `key` is answered without a lookup.
  bool IsKept(const std::string& key);
  // From now, how long the answer to `key` stands in memory, to the second.
  Seconds KeptFor(const std::string& key);

  // A question to MTA-STS alone, whose facts are watched as they come.
  struct StsQuestion {
    std::shared_ptr<std::vector<StsFacts>> stages;
    Started<bool> end;
    const StsFacts& facts() const { return stages->back(); }
    bool answered() const {
      return !stages->empty() && facts().state != StsState::kPending;
    }
  };
  StsQuestion AskSts(const std::string& domain = kDomain);
  // The facts when all is told.
  StsFacts LearnSts(const std::string& domain = kDomain);

  // --- Domains.

  // example.com with MTA-STS on unsigned zones, in every way as it should be.
  void StsDomain(const std::string& mode = "enforce", int max_age = kWeek);
  // Its TXT record, with an id, and the address of its policy host.
  FakeAnswer& Publish(const std::string& id);
  // Its policy file.
  FakeSite& Serve(const std::string& body);
  FakeSite& ServePolicy(const std::string& mode = "enforce",
                        const std::string& mx = "mx.example.com",
                        int max_age = kWeek);
  // example.com with DANE.
  void DaneDomain();
  // Another domain with MTA-STS: "d<i>.example", whose policy host is at
  // `address`.
  std::string StsDomainAt(int i, const std::string& address);

  // What is remembered of example.com.
  StsMemory Memory() { return world.store.Find(kDomain); }

  double Count(const std::string& name, const Labels& labels = {});

  FakeWorld world;
  FakeResolver& dns = world.dns;
  FakeHttps& https = world.https;
  StsSettings sts_settings;
  PolicyService::Settings settings;

 private:
  Awaitable<std::string> AskOne(std::string key, Dialect dialect);
  Awaitable<bool> AskStsOne(std::string domain,
                            std::shared_ptr<std::vector<StsFacts>> stages);

  // The last one lives. The others are kept for what they left running.
  std::vector<std::unique_ptr<FakeEngine>> engines_;
  bool refreshing_ = false;
};

}  // namespace postern
