#include "policy-daemon/refresher.h"

#include <algorithm>

#include "policy-daemon/sts_lookup.h"

namespace postern {
namespace {

constexpr Seconds kTick{1};
constexpr size_t kPerSecond = 300;  // a million domains an hour
// Slow zones must not keep the others waiting: 512 that do not answer for 5 s
// leave 100 a second.
constexpr size_t kAtOnce = 512;
// Longer than any TXT question takes: the turn always comes.
constexpr Seconds kTurn{60};
// RFC 8461 section 3.3: at most one try in five minutes.
constexpr Seconds kFirstRetry{300};
constexpr Seconds kLastRetry{3600};
constexpr int kDoublings = 4;
// After a TXT question that failed. (A policy whose time has come is fetched
// without one.)
constexpr Seconds kRecordRetry{900};

Seconds RetryAfter(int tries) {
  return std::min(kFirstRetry * (1 << std::clamp(tries - 1, 0, kDoublings)),
                  kLastRetry);
}

prometheus::Counter& Refreshes(Metrics& metrics, const char* result) {
  return metrics.Counter("postern_refreshes_total",
                         "Remembered policies looked at in the background",
                         {{"result", result}});
}

}  // namespace

Refresher::Refresher(World world)
    : world_(world),
      gate_(world.executor, world.clock, kAtOnce),
      unchanged_(Refreshes(world.metrics, "unchanged")),
      fetched_(Refreshes(world.metrics, "fetched")),
      failed_(Refreshes(world.metrics, "failed")),
      record_failed_(Refreshes(world.metrics, "record-failed")) {}

Awaitable<void> Refresher::Run() {
  for (;;) {
    Event pause(world_.executor, world_.clock);
    co_await pause.WaitUntil(world_.clock.Now() + kTick);
    const std::vector<std::string> due = co_await world_.store.Due(
        world_.clock.WallNow(), kPerSecond + running_.size());
    for (const std::string& domain : due)
      if (!running_.contains(domain)) Spawn(world_.executor, Refresh(domain));
  }
}

Awaitable<void> Refresher::Refresh(std::string domain) {
  struct Place {
    boost::unordered_flat_set<std::string>& running;
    std::string domain;
    ~Place() { running.erase(domain); }
  };
  running_.insert(domain);
  const Place place{running_, domain};
  const StsMemory memory = world_.store.Find(domain);
  if (!memory.policy) co_return;  // purged meanwhile
  const WallTime now = world_.clock.WallNow();
  const StoredPolicy& policy = *memory.policy;
  if (EndOf(policy, now) <= now) {
    world_.store.NoteExpired(domain, now);
    co_return;
  }
  if (now - policy.used_at >= kIdleAfter && !IsFromTheFuture(policy, now)) {
    world_.store.Schedule(domain, policy.fetched_at, policy.expires_at);
    co_return;
  }

  StsFacts facts;
  {
    const auto permit = co_await gate_.Enter(0, world_.clock.Now() + kTurn);
    if (!permit) co_return;  // still due
    ReadStsRecord(
        co_await world_.resolver.Query("_mta-sts." + domain, DnsType::kTxt),
        facts);
  }
  WallTime next = world_.clock.WallNow() + StsRecheckAfter(facts);
  auto request = DueFetch(domain, memory, facts);
  if (!request) {
    if (facts.txt == StsTxt::kFailed) {
      next = world_.clock.WallNow() + kRecordRetry;
      record_failed_.Increment();
    } else {
      unchanged_.Increment();
    }
    if (policy.refetch_at > now) next = std::min(next, policy.refetch_at);
    world_.store.Schedule(domain, policy.fetched_at, next);
    co_return;
  }
  const auto& failure = request->failure;
  const int tries = failure ? failure->tries : 0;
  if (failure && now < failure->last_at + RetryAfter(tries)) {
    world_.store.Schedule(domain, policy.fetched_at,
                          std::min(next, failure->last_at + RetryAfter(tries)));
    co_return;
  }
  // Not due while it is under way, nor if that ends in a crash.
  world_.store.Schedule(domain, policy.fetched_at, now + kFirstRetry);
  const auto flight = world_.fetcher.Start(std::move(*request));
  if (flight)
    co_await flight->done.WaitUntil(world_.clock.Now() +
                                    world_.fetcher.Patience());
  if (flight && flight->result.stored) {
    fetched_.Increment();  // the next look is part of what was stored
    co_return;
  }
  failed_.Increment();
  const bool tried = flight && !flight->result.crowded && !flight->result.ours;
  world_.store.Schedule(
      domain, policy.fetched_at,
      world_.clock.WallNow() + RetryAfter(tried ? tries + 1 : 1));
}

std::optional<FetchRequest> Refresher::DueFetch(const std::string& domain,
                                                const StsMemory& memory,
                                                const StsFacts& facts) const {
  const WallTime now = world_.clock.WallNow();
  const StoredPolicy& policy = *memory.policy;
  const bool by_age = policy.refetch_at <= now || IsFromTheFuture(policy, now);
  // Who can only block DNS must not ride out the max_age: a refetch that is
  // due needs no record. A proven absence, however, prolongs nothing.
  std::string id = facts.id;
  if (facts.txt == StsTxt::kFailed && by_age) id = policy.id;
  if (id.empty() || (id == policy.id && !by_age)) return std::nullopt;
  FetchRequest request;
  request.domain = domain;
  request.id = id;
  request.previous = policy.policy;
  request.check_after = StsRecheckAfter(facts);
  request.background = true;
  if (memory.failure && memory.failure->id == id &&
      Counts(*memory.failure, now))
    request.failure = memory.failure;
  return request;
}

}  // namespace postern
