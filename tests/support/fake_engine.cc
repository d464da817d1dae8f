#include "tests/support/fake_engine.h"

#include <boost/asio/co_spawn.hpp>

#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

struct ProcessEnded {};

// Work without end, until the process ends. Any other exception is a bug.
void StartEndless(FakeWorld& world, Awaitable<void> work) {
  boost::asio::co_spawn(world.loop, std::move(work),
                        [](const std::exception_ptr& exception) {
                          try {
                            if (exception) std::rethrow_exception(exception);
                            ADD_FAILURE() << "endless work has ended";
                          } catch (const ProcessEnded&) {
                          }
                        });
  world.clock.RunReady();
}

}  // namespace

StsMemory ProcessStore::Find(const std::string& domain) {
  return disk_.Find(domain);
}

Awaitable<void> ProcessStore::PutPolicy(std::string domain,
                                        StoredPolicy policy) {
  if (ended_) co_return;
  co_await disk_.PutPolicy(std::move(domain), std::move(policy));
}

void ProcessStore::PutFailure(const std::string& domain, FailedFetch failure) {
  if (!ended_) disk_.PutFailure(domain, std::move(failure));
}

void ProcessStore::NoteUse(const std::string& domain, WallTime used_at,
                           WallTime check_at) {
  if (!ended_) disk_.NoteUse(domain, used_at, check_at);
}

void ProcessStore::Schedule(const std::string& domain, WallTime fetched_at,
                            WallTime check_at) {
  if (!ended_) disk_.Schedule(domain, fetched_at, check_at);
}

void ProcessStore::NoteExpired(const std::string& domain, WallTime now) {
  if (!ended_) disk_.NoteExpired(domain, now);
}

void ProcessStore::Forget(const std::string& domain) {
  if (!ended_) disk_.Forget(domain);
}

Awaitable<std::vector<std::string>> ProcessStore::Due(WallTime now,
                                                      size_t limit) {
  std::vector<std::string> due = co_await disk_.Due(now, limit);
  if (ended_) throw ProcessEnded();
  co_return due;
}

FakeEngine::FakeEngine(FakeWorld& world, const StsSettings& sts_settings,
                       const PolicyService::Settings& settings)
    : store(world.store),
      outage(world.clock, world.outcomes, world.metrics),
      fetcher({world.loop.get_executor(), world.clock, world.dns, world.https,
               store, outage, world.metrics},
              sts_settings),
      sts({world.clock, world.dns, store, fetcher, world.metrics}),
      dane(world.loop.get_executor(), world.clock, world.dns),
      refresher({world.loop.get_executor(), world.clock, world.dns, store,
                 fetcher, world.metrics}),
      service({{world.loop.get_executor(), world.clock, dane, sts, bytes_held},
               world.dns,
               fetcher,
               outage,
               world.metrics},
              settings) {
  fetcher.OnChange([this](const std::string& domain) { service.Drop(domain); });
}

void EngineTest::TearDown() {
  engine().store.End();
  world.End();
}

void EngineTest::Restart() {
  if (!engines_.empty()) engine().store.End();
  engines_.push_back(
      std::make_unique<FakeEngine>(world, sts_settings, settings));
  if (refreshing_) StartEndless(world, engine().refresher.Run());
}

void EngineTest::StartRefresher() {
  refreshing_ = true;
  StartEndless(world, engine().refresher.Run());
}

Started<std::string> EngineTest::Ask(const std::string& key, Dialect dialect) {
  return world.Start(AskOne(key, dialect));
}

std::string EngineTest::Answer(const std::string& key, Dialect dialect) {
  return AnswerWithin(Duration(0), key, dialect);
}

std::string EngineTest::AnswerWithin(Duration patience, const std::string& key,
                                     Dialect dialect) {
  const Started<std::string> answer = Ask(key, dialect);
  const SteadyTime limit = world.clock.Now() + patience;
  while (!answer.done() && world.clock.NextTimer() <= limit)
    world.clock.FireNext();
  EXPECT_TRUE(answer.done()) << "no answer yet to " << key;
  return answer.done() ? answer.value() : "(no answer yet)";
}

Awaitable<std::string> EngineTest::AskOne(std::string key, Dialect dialect) {
  PolicyService& asked = service();
  std::string answer(asked.AnswerNow(key, dialect).text);
  if (answer.empty()) {
    const PolicyService::Reply reply = co_await asked.Answer(key, dialect);
    answer = reply.text;
  }
  const NetstringParse parse = ParseNetstring(answer);
  EXPECT_EQ(parse.consumed, answer.size());
  co_return std::string(parse.payload);
}

bool EngineTest::IsKept(const std::string& key) {
  return !service().AnswerNow(key, Dialect::kPolicy).text.empty();
}

Seconds EngineTest::KeptFor(const std::string& key) {
  for (Seconds age{0};; ++age) {
    if (!IsKept(key)) return age;
    world.Pass(Seconds(1));
  }
}

EngineTest::StsQuestion EngineTest::AskSts(const std::string& domain) {
  StsQuestion question{std::make_shared<std::vector<StsFacts>>(), {}};
  question.end = world.Start(AskStsOne(domain, question.stages));
  return question;
}

StsFacts EngineTest::LearnSts(const std::string& domain) {
  const auto stages = std::make_shared<std::vector<StsFacts>>();
  world.Run(AskStsOne(domain, stages));
  return stages->back();
}

Awaitable<bool> EngineTest::AskStsOne(
    std::string domain, std::shared_ptr<std::vector<StsFacts>> stages) {
  StsLookup::Publish publish = [stages](const StsFacts& facts) {
    stages->push_back(facts);
  };
  co_await engine().sts.Run(std::move(domain), std::move(publish));
  co_return true;
}

void EngineTest::StsDomain(const std::string& mode, int max_age) {
  dns.Mx(kDomain, {"mx.example.com"}).Insecure();
  dns.PlainHost("mx.example.com");
  Publish("1");
  ServePolicy(mode, "mx.example.com", max_age);
}

FakeAnswer& EngineTest::Publish(const std::string& id) {
  dns.A(kPolicyHost, "8.8.8.8");
  return dns.Txt(kTxtName, {"v=STSv1; id=" + id}).Insecure();
}

FakeSite& EngineTest::Serve(const std::string& body) {
  return https.Serve(kPolicyHost, body);
}

FakeSite& EngineTest::ServePolicy(const std::string& mode,
                                  const std::string& mx, int max_age) {
  return Serve(PolicyText(mode, mx, max_age));
}

void EngineTest::DaneDomain() {
  dns.Mx(kDomain, {"mx.example.com"});
  dns.DaneHost("mx.example.com");
}

std::string EngineTest::StsDomainAt(int i, const std::string& address) {
  const std::string domain = "d" + std::to_string(i) + ".example";
  dns.Txt("_mta-sts." + domain, {"v=STSv1; id=1"});
  dns.A("mta-sts." + domain, address);
  return domain;
}

double EngineTest::Count(const std::string& name, const Labels& labels) {
  return world.metrics.Counter(name, "", labels).Value();
}

}  // namespace postern
