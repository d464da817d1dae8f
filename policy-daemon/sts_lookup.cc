#include "policy-daemon/sts_lookup.h"

#include <algorithm>

#include "common/log.h"
#include "common/text.h"

#include "policy-daemon/sts_record.h"

namespace postern {
namespace {

// RFC 8461 section 3.3: at most one try in five minutes per id.
constexpr Seconds kRefetchInterval{300};
// So long a failed id is answered without waiting for it.
constexpr Seconds kFailureMemory{24 * 3600};
// Refetch at a random point of this span, whatever the id says: owners forget
// to change it, and a fixed time would tell an attacker when to block.
constexpr Seconds kMaxRefetchSpan{24 * 3600};
constexpr size_t kMaxFetchesPerAddress = 16;
// An address that does not answer must not use up the patience for the next.
constexpr Seconds kConnectTimeout{4};
// How long the slower of A and AAAA is waited for when the other is there.
constexpr Seconds kLateFamily{1};
constexpr size_t kMaxAddresses = 16;
// How long a fetch waits for its turn, before its own time starts.
constexpr Seconds kMaxTurn{60};
constexpr size_t kMaxWaiting = 10000;
constexpr char kPolicyPath[] = "/.well-known/mta-sts.txt";

bool IsTextPlain(std::string_view content_type) {
  const auto type = content_type.substr(0, content_type.find(';'));
  return ToLowerAscii(TrimBlanks(type)) == "text/plain";
}

StsState StateOf(const StsPolicy& policy) {
  return policy.mode == StsMode::kEnforce ? StsState::kEnforce
                                          : StsState::kOther;
}

void Apply(const StoredPolicy& stored, bool remembered, StsFacts& facts) {
  facts.policy = stored.policy;
  facts.remembered = remembered;
  facts.fetched_at = stored.fetched_at;
  facts.expires_at = stored.expires_at;
  facts.refetch_at = stored.refetch_at;
  facts.state = StateOf(*stored.policy);
}

void ApplyTxt(const DnsAnswer& answer, StsFacts& facts) {
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

}  // namespace

StsLookup::StsLookup(World world, StsSettings settings)
    : world_(std::move(world)),
      settings_(std::move(settings)),
      random_(std::random_device{}()),
      all_fetches_(world_.executor, world_.clock, settings_.max_fetches),
      fetches_by_address_(world_.executor, world_.clock, kMaxFetchesPerAddress),
      fetched_(world_.metrics.Counter("postern_sts_fetches_total",
                                      "MTA-STS policy fetches by result",
                                      {{"result", "ok"}})),
      failed_(world_.metrics.Counter("postern_sts_fetches_total",
                                     "MTA-STS policy fetches by result",
                                     {{"result", "failed"}})),
      txt_failures_(world_.metrics.Counter(
          "postern_sts_record_failures_total",
          "MTA-STS TXT lookups that failed with no policy remembered")),
      fetching_(world_.metrics.Gauge("postern_sts_fetches_in_flight",
                                     "MTA-STS policy fetches in flight")) {}

Awaitable<void> StsLookup::Run(std::string domain, Publish publish) {
  StsFacts facts;
  const StsMemory memory = co_await world_.store.Find(domain);
  const WallTime now = world_.clock.WallNow();
  const bool in_force = memory.policy && now < memory.policy->expires_at;
  if (in_force) {
    // RFC 8461 section 3.3: it applies whatever discovery says now.
    Apply(*memory.policy, /*remembered=*/true, facts);
    publish(facts);
  }

  ApplyTxt(co_await world_.resolver.Query("_mta-sts." + domain, DnsType::kTxt),
           facts);
  if (!in_force && facts.txt == StsTxt::kFailed)
    NoteTxtFailure(domain, facts.txt_reason);
  // Who can only block DNS must not ride out the max_age: a refetch that is
  // due needs no record. A proven absence, however, prolongs nothing.
  const bool refetch_due = in_force && memory.policy->refetch_at <= now;
  std::string id = facts.id;
  if (facts.txt == StsTxt::kFailed && refetch_due) id = memory.policy->id;
  const bool due =
      !id.empty() && (!in_force || memory.policy->id != id || refetch_due);
  if (!due) {
    if (!in_force) facts.state = StsState::kOther;
    publish(facts);
    co_return;
  }

  std::optional<FailedFetch> failure;
  if (memory.failure && memory.failure->id == id) failure = memory.failure;
  const bool allowed = !failure || now - failure->last_at >= kRefetchInterval;
  const bool failed_lately =
      failure && now - failure->first_at < kFailureMemory;
  if (failure) facts.fetch_reason = failure->reason;
  if (!failed_lately) failure.reset();
  const std::shared_ptr<InFlight> flight =
      allowed ? StartFetch(domain, id, failure) : nullptr;
  facts.fetch = flight    ? StsFetch::kPending
                : allowed ? StsFetch::kCrowded
                          : StsFetch::kSkipped;
  if (in_force || failed_lately || !flight || flight->held_at) {
    // The answer does not wait; a fetch goes on in the background.
    if (!in_force) facts.state = StsState::kOther;
    publish(facts);
    co_return;
  }

  flight->awaited = true;
  publish(facts);
  // The fetch keeps its own deadline; this one only bounds a mistake there.
  co_await flight->done.WaitUntil(world_.clock.Now() + kMaxTurn +
                                  settings_.fetch_timeout * 2 + kQueryBound);
  const Fetched& result = flight->result;
  if (result.stored) {
    Apply(*result.stored, /*remembered=*/false, facts);
    facts.fetch = StsFetch::kDone;
  } else {
    // RFC 8461 section 3.3: as if the domain had no policy.
    facts.state = StsState::kOther;
    facts.fetch = result.crowded ? StsFetch::kCrowded : StsFetch::kFailed;
    facts.fetch_reason = result.reason;
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

bool StsLookup::MayHold(const std::string& domain, SteadyTime asked_at) {
  const auto found = in_flight_.find(domain);
  if (found == in_flight_.end()) return false;
  auto& held_at = found->second->held_at;
  if (!held_at) held_at = world_.clock.Now();
  return asked_at < *held_at;
}

bool StsLookup::HasHeld(const std::string& domain) const {
  const auto found = in_flight_.find(domain);
  return found != in_flight_.end() && found->second->held_at.has_value();
}

std::shared_ptr<StsLookup::InFlight> StsLookup::StartFetch(
    const std::string& domain, const std::string& id,
    std::optional<FailedFetch> failure) {
  if (const auto found = in_flight_.find(domain); found != in_flight_.end())
    return found->second;
  // Those that only wait for their turn need memory, too.
  if (in_flight_.size() >= settings_.max_fetches + kMaxWaiting) return nullptr;
  // Held here as well: the fetch may end before Spawn() returns.
  const auto flight = std::make_shared<InFlight>(world_.executor, world_.clock);
  in_flight_[domain] = flight;
  Spawn(world_.executor, RunFetch(domain, id, std::move(failure), flight));
  return flight;
}

Awaitable<void> StsLookup::RunFetch(std::string domain, std::string id,
                                    std::optional<FailedFetch> failure,
                                    std::shared_ptr<InFlight> flight) {
  fetching_.Increment();
  flight->result = co_await Fetch(domain, id);
  fetching_.Decrement();
  const Fetched& result = flight->result;
  if (result.stored) {
    fetched_.Increment();
    // The newer policy ends the older one, also where it is not kept itself.
    if (result.stored->expires_at > result.stored->fetched_at)
      world_.store.PutPolicy(domain, *result.stored);
    else
      world_.store.Forget(domain);
  } else {
    failed_.Increment();
    NoteFetchFailure(domain, id, failure, *flight);
  }
  in_flight_.erase(domain);
  flight->done.Set();
}

void StsLookup::NoteFetchFailure(const std::string& domain,
                                 const std::string& id,
                                 const std::optional<FailedFetch>& failure,
                                 const InFlight& flight) {
  const Fetched& result = flight.result;
  uint64_t suppressed = 0;
  if (fetch_log_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kWarn, "sts_fetch_failed",
        {{"domain", domain},
         {"type", result.crowded ? "not-tried" : ResultTypeName(result.type)},
         {"reason", result.reason},
         {"suppressed", suppressed}});
  // No request was made: nothing is known against the domain. But mail is not
  // held for it a second time.
  if (result.crowded && !flight.held_at) return;
  const WallTime now = world_.clock.WallNow();
  world_.store.PutFailure(
      domain, {id, failure ? failure->first_at : now, now, result.reason});
  // Refreshes in the background are nobody's session.
  if (flight.awaited && !result.crowded)
    world_.outcomes.Record({domain, result.type, domain, result.reason,
                            flight.held_at.has_value()});
}

Awaitable<StsLookup::Fetched> StsLookup::Fetch(std::string domain,
                                               std::string id) {
  const SteadyTime turn_deadline = world_.clock.Now() + kMaxTurn;
  const std::string host = "mta-sts." + domain;
  const HostAddresses addresses = co_await AddressesOf(host);
  HttpsResponse response;
  response.failure = HttpsFailure::kConnect;
  response.detail = addresses.problem;
  std::optional<SteadyTime> deadline;  // from the first request on
  for (const IpAddress& address : addresses.usable) {
    const bool last = &address == &addresses.usable.back();
    // First the address, then the place among all: whoever waits for a crowded
    // server takes nobody's place.
    const auto seat =
        co_await fetches_by_address_.Enter(address, turn_deadline);
    if (!seat) continue;  // another address may be free
    const auto permit = co_await all_fetches_.Enter(0, turn_deadline);
    if (!permit) continue;
    const SteadyTime now = world_.clock.Now();
    if (!deadline) deadline = now + settings_.fetch_timeout;
    HttpsRequest request;
    request.host = host;
    request.address = address;
    request.port = settings_.port;
    request.path = kPolicyPath;
    request.max_body = kMaxPolicyBytes;
    request.deadline = *deadline;
    request.connect_deadline =
        last ? *deadline : std::min(*deadline, now + kConnectTimeout);
    response = co_await world_.https.Get(std::move(request));
    // An answer, be it too large, will not be better elsewhere.
    if (response.failure == HttpsFailure::kNone ||
        response.failure == HttpsFailure::kTooLarge)
      break;
    response.detail = address.ToString() + ": " + response.detail;
    if (world_.clock.Now() >= *deadline) break;
  }
  if (!deadline && !addresses.usable.empty()) {
    Fetched crowded;
    crowded.crowded = true;
    crowded.reason = "too many policy fetches at once (sts.max_fetches)";
    co_return crowded;
  }
  co_return Judge(response, id);
}

Awaitable<StsLookup::HostAddresses> StsLookup::AddressesOf(std::string host) {
  const auto queries =
      AskForAddresses(world_.executor, world_.clock, world_.resolver, host);
  co_await queries->one.WaitUntil(world_.clock.Now() + kQueryBound);
  // With an address at hand, a slow other family is not worth the wait.
  co_await queries->both.WaitUntil(world_.clock.Now() + kLateFamily);
  HostAddresses found;
  std::string failure;
  for (const auto* family : {&queries->v4, &queries->v6}) {
    if (!*family) continue;
    const DnsAnswer& answer = **family;
    if (answer.failed()) failure = answer.failure;
    found.usable.insert(found.usable.end(), answer.addresses.begin(),
                        answer.addresses.end());
  }
  if (found.usable.empty()) {
    found.problem = failure.empty()
                        ? host + " has no address"
                        : "address lookup of " + host + ": " + failure;
    co_return found;
  }
  std::erase_if(found.usable, [this](const IpAddress& address) {
    return !settings_.address_filter.Allows(address);
  });
  if (found.usable.empty())
    found.problem =
        host + " has only non-global addresses (see sts.allow_private)";
  if (found.usable.size() > kMaxAddresses) found.usable.resize(kMaxAddresses);
  co_return found;
}

StsLookup::Fetched StsLookup::Judge(const HttpsResponse& response,
                                    const std::string& id) {
  const auto fail = [](ResultType type, std::string reason) {
    return Fetched{{}, std::move(reason), type};
  };
  constexpr auto kFetchError = ResultType::kStsPolicyFetchError;
  if (response.failure == HttpsFailure::kCertificate)
    return fail(ResultType::kStsWebpkiInvalid, response.detail);
  if (response.failure != HttpsFailure::kNone)
    return fail(kFetchError, response.detail);
  // RFC 8461 section 3.3: only 200 is valid, redirects are not followed.
  if (response.status != 200)
    return fail(kFetchError, "HTTP status " + std::to_string(response.status));
  if (!IsTextPlain(response.content_type))
    return fail(kFetchError, "the media type is '" +
                                 Printable(response.content_type, 60) +
                                 "' instead of text/plain");
  if (!response.content_encoding.empty() &&
      ToLowerAscii(response.content_encoding) != "identity")
    return fail(kFetchError, "the answer is encoded, which we did not ask for");
  auto policy = ParseStsPolicy(response.body);
  if (!policy)
    return fail(ResultType::kStsPolicyInvalid,
                "invalid policy: " + policy.error().message);
  return Fetched{MakeStored(std::move(*policy), id), "", {}};
}

StoredPolicy StsLookup::MakeStored(StsPolicy policy, std::string id) {
  StoredPolicy stored;
  stored.fetched_at = world_.clock.WallNow();
  // RFC 8461 section 3.2: the lifetime counts from the fetch.
  stored.expires_at = stored.fetched_at + policy.max_age;
  const int64_t span = std::min(policy.max_age, kMaxRefetchSpan).count();
  std::uniform_int_distribution<int64_t> point(span / 3, span * 2 / 3);
  stored.refetch_at = stored.fetched_at + Seconds(point(random_));
  stored.id = std::move(id);
  stored.policy = std::make_shared<const StsPolicy>(std::move(policy));
  return stored;
}

}  // namespace postern
