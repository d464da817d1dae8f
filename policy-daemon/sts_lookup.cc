#include "policy-daemon/sts_lookup.h"

#include <algorithm>

#include "common/log.h"

#include "policy-daemon/sts_record.h"

namespace postern {
namespace {

// RFC 8461 section 3.3: at most one try in five minutes per id.
constexpr Seconds kRefetchInterval{300};
// After a try that came to nothing through us, of which the domain's server may
// know nothing.
constexpr Seconds kOurRefetchInterval{30};
constexpr Seconds kMinRecheck{300};
constexpr Seconds kMaxRecheck{3600};
// To note each use would cost a write an answer. (Each day counts, however.)
constexpr Seconds kUseGrain{3600};

// Whether a use now is to be noted, after one at `before`.
bool IsNews(WallTime before, WallTime now) {
  return before > now || now - before >= kUseGrain ||
         std::chrono::floor<std::chrono::days>(before) !=
             std::chrono::floor<std::chrono::days>(now);
}

StsState StateOf(const StsPolicy& policy) {
  return policy.mode == StsMode::kEnforce ? StsState::kEnforce
                                          : StsState::kOther;
}

void Apply(const StoredPolicy& stored, WallTime now, bool remembered,
           StsFacts& facts) {
  facts.policy = stored.policy;
  facts.remembered = remembered;
  facts.fetched_at = stored.fetched_at;
  facts.expires_at = EndOf(stored, now);
  facts.refetch_at = stored.refetch_at;
  facts.state = StateOf(*stored.policy);
}

}  // namespace

StsLookup::StsLookup(World world)
    : world_(world),
      txt_failures_(world_.metrics.Counter(
          "postern_sts_record_failures_total",
          "MTA-STS TXT lookups that failed with no policy remembered")) {}

Awaitable<void> StsLookup::Run(std::string domain, Publish publish) {
  StsFacts facts;
  const StsMemory memory = world_.store.Find(domain);
  const WallTime now = world_.clock.WallNow();
  const bool in_force = memory.policy && now < EndOf(*memory.policy, now);
  facts.memory_unread = memory.unread;
  if (in_force) {
    // RFC 8461 section 3.3: it applies whatever discovery says now.
    Apply(*memory.policy, now, /*remembered=*/true, facts);
    publish(facts);
  }

  ReadStsRecord(
      co_await world_.resolver.Query("_mta-sts." + domain, DnsType::kTxt),
      facts);
  if (!in_force && facts.txt == StsTxt::kFailed)
    NoteTxtFailure(domain, facts.txt_reason);
  if (in_force && IsNews(memory.policy->used_at, now))
    world_.store.NoteUse(
        domain, now,
        std::min(memory.policy->check_at, now + StsRecheckAfter(facts)));
  const bool due =
      !facts.id.empty() && (!in_force || memory.policy->id != facts.id);
  if (!due) {
    if (!in_force) facts.state = StsState::kOther;
    publish(facts);
    co_return;
  }

  FetchRequest request;
  request.domain = domain;
  request.id = facts.id;
  request.check_after = StsRecheckAfter(facts);
  request.background = in_force;
  if (in_force) request.previous = memory.policy->policy;
  const bool failed = memory.failure && memory.failure->id == facts.id &&
                      Counts(*memory.failure, now);
  const bool failed_lately =
      failed && now - memory.failure->first_at < kFailureMemory;
  const bool through_us = failed && memory.failure->tries == 0;
  const bool allowed =
      !failed || now - memory.failure->last_at >=
                     (through_us ? kOurRefetchInterval : kRefetchInterval);
  if (failed) facts.fetch_reason = memory.failure->reason;
  if (failed_lately) request.failure = memory.failure;
  const std::shared_ptr<PolicyFetch> flight =
      allowed ? world_.fetcher.Start(std::move(request)) : nullptr;
  facts.fetch = flight       ? StsFetch::kPending
                : allowed    ? StsFetch::kCrowded
                : through_us ? StsFetch::kOurs
                             : StsFetch::kSkipped;
  if (in_force || failed_lately || !flight || world_.fetcher.HasHeld(domain)) {
    // The answer does not wait; a fetch goes on in the background.
    if (!in_force) facts.state = StsState::kOther;
    publish(facts);
    co_return;
  }

  publish(facts);
  co_await flight->done.WaitUntil(world_.clock.Now() +
                                  world_.fetcher.Patience());
  const FetchResult& result = flight->result;
  if (result.stored) {
    Apply(*result.stored, world_.clock.WallNow(), /*remembered=*/false, facts);
    facts.fetch = StsFetch::kDone;
  } else {
    // RFC 8461 section 3.3: as if the domain had no policy.
    facts.state = StsState::kOther;
    facts.fetch = result.crowded ? StsFetch::kCrowded
                  : result.ours  ? StsFetch::kOurs
                                 : StsFetch::kFailed;
    facts.fetch_reason = result.reason;
    facts.fetch_told = result.told;
    facts.unreached = result.unreached;
    facts.fetch_failure = result.type;
  }
  publish(facts);
}

void StsLookup::NoteTxtFailure(const std::string& domain,
                               const std::string& reason) {
  txt_failures_.Increment();
  uint64_t suppressed = 0;
  if (txt_log_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kWarn, "sts_record_unknown",
        {{"domain", domain},
         {"reason", reason},
         {"effect", "counts as without MTA-STS"},
         {"suppressed", suppressed}});
}

void ReadStsRecord(const DnsAnswer& answer, StsFacts& facts) {
  facts.txt_ttl = answer.ttl;
  if (answer.failed()) {
    facts.txt = StsTxt::kFailed;
    facts.txt_reason = answer.failure;
    return;
  }
  StsRecord record = ParseStsRecords(answer.txt);
  switch (record.state) {
    case StsRecord::State::kAbsent:
      facts.txt = StsTxt::kAbsent;
      break;
    case StsRecord::State::kInvalid:
      facts.txt = StsTxt::kInvalid;
      facts.txt_reason = std::move(record.problem);
      break;
    case StsRecord::State::kValid:
      facts.txt = StsTxt::kValid;
      facts.id = std::move(record.id);
      break;
  }
}

Seconds StsRecheckAfter(const StsFacts& facts) {
  // A failure has no TTL: soon again.
  return std::clamp(facts.txt_ttl, kMinRecheck, kMaxRecheck);
}

}  // namespace postern
