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
  if (facts.txt != StsTxt::kValid) {
    if (!in_force) facts.state = StsState::kOther;
    if (!in_force && facts.txt == StsTxt::kFailed)
      NoteTxtFailure(domain, facts.txt_reason);
    publish(facts);
    co_return;
  }

  std::optional<FailedFetch> failure;
  if (memory.failure && memory.failure->id == facts.id &&
      now - memory.failure->first_at < kFailureMemory)
    failure = memory.failure;
  const bool due = !in_force || memory.policy->id != facts.id ||
                   memory.policy->refetch_at <= now;
  const bool allowed = !failure || now - failure->last_at >= kRefetchInterval;
  if (!due) {
    publish(facts);
    co_return;
  }
  const std::shared_ptr<InFlight> flight =
      allowed ? StartFetch(domain, facts.id, failure) : nullptr;
  facts.fetch = flight ? StsFetch::kPending : StsFetch::kSkipped;
  if (failure) facts.fetch_reason = failure->reason;
  if (in_force || failure) {
    // The answer does not wait; a fetch goes on in the background.
    if (!in_force) facts.state = StsState::kOther;
    publish(facts);
    co_return;
  }

  publish(facts);
  // The fetch keeps its own deadline; this one only bounds a mistake there.
  co_await flight->done.WaitUntil(world_.clock.Now() +
                                  settings_.fetch_timeout * 2);
  const Fetched& result = flight->result;
  if (result.stored) {
    Apply(*result.stored, /*remembered=*/false, facts);
    facts.fetch = StsFetch::kDone;
  } else {
    // RFC 8461 section 3.3: as if the domain had no policy.
    facts.state = StsState::kOther;
    facts.fetch = StsFetch::kFailed;
    facts.fetch_reason = result.reason;
    world_.outcomes.Record({domain, result.type, domain, result.reason,
                            flight->held_at.has_value()});
  }
  publish(facts);
}

void StsLookup::NoteTxtFailure(const std::string& domain,
                               const std::string& reason) {
  txt_failures_.Increment();
  uint64_t suppressed = 0;
  if (log_limiter_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kWarn, "sts_record_unknown",
        {{"domain", domain},
         {"reason", reason},
         {"answered", "as without MTA-STS"},
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
  auto& flight = in_flight_[domain];
  if (!flight) {
    flight = std::make_shared<InFlight>(world_.executor, world_.clock);
    Spawn(world_.executor, RunFetch(domain, id, std::move(failure), flight));
  }
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
    // max_age 0 serves the question at hand and is not kept.
    if (result.stored->expires_at > result.stored->fetched_at)
      world_.store.PutPolicy(domain, *result.stored);
  } else {
    failed_.Increment();
    const WallTime now = world_.clock.WallNow();
    world_.store.PutFailure(
        domain, {id, failure ? failure->first_at : now, now, result.reason});
    uint64_t suppressed = 0;
    if (log_limiter_.Allow(world_.clock.Now(), &suppressed))
      Log(LogLevel::kWarn, "sts_fetch_failed",
          {{"domain", domain},
           {"type", ResultTypeName(result.type)},
           {"reason", result.reason},
           {"suppressed", suppressed}});
  }
  in_flight_.erase(domain);
  flight->done.Set();
}

Awaitable<StsLookup::Fetched> StsLookup::Fetch(std::string domain,
                                               std::string id) {
  const SteadyTime deadline = world_.clock.Now() + settings_.fetch_timeout;
  const auto permit = co_await all_fetches_.Enter(0, deadline);
  if (!permit) co_return Fetched{{}, "too many policy fetches at once", {}};
  const HttpsResponse response =
      co_await GetPolicyFile("mta-sts." + domain, deadline);
  co_return Judge(response, id);
}

Awaitable<HttpsResponse> StsLookup::GetPolicyFile(std::string host,
                                                  SteadyTime deadline) {
  const HostAddresses addresses = co_await AddressesOf(host);
  HttpsResponse response;
  response.failure = HttpsFailure::kConnect;
  response.detail = addresses.problem;
  for (const IpAddress& address : addresses.usable) {
    const auto permit = co_await fetches_by_address_.Enter(address, deadline);
    if (!permit) {
      response.failure = HttpsFailure::kTimeout;
      response.detail = "too many fetches at once from " + address.ToString();
      co_return response;
    }
    HttpsRequest request;
    request.host = host;
    request.address = address;
    request.port = settings_.port;
    request.path = kPolicyPath;
    request.max_body = kMaxPolicyBytes;
    request.deadline = deadline;
    request.connect_deadline =
        &address == &addresses.usable.back()
            ? deadline
            : std::min(deadline, world_.clock.Now() + kConnectTimeout);
    response = co_await world_.https.Get(std::move(request));
    // The next address is for a host that is down, not for another answer.
    if (response.failure == HttpsFailure::kNone ||
        response.failure == HttpsFailure::kTooLarge)
      co_return response;
    response.detail = address.ToString() + ": " + response.detail;
    if (world_.clock.Now() >= deadline) break;
  }
  co_return response;
}

Awaitable<StsLookup::HostAddresses> StsLookup::AddressesOf(std::string host) {
  const auto v6_done = std::make_shared<Event>(world_.executor, world_.clock);
  const auto v6_answer = std::make_shared<DnsAnswer>();
  Spawn(world_.executor, QueryInto(host, DnsType::kAaaa, v6_answer, v6_done));
  const DnsAnswer v4 = co_await world_.resolver.Query(host, DnsType::kA);
  // With an IPv4 address at hand, a slow AAAA is not worth the wait.
  if (!v4.has_data() || !v6_done->is_set())
    co_await v6_done->WaitUntil(world_.clock.Now() +
                                (v4.has_data() ? kLateFamily : Seconds(60)));
  HostAddresses found;
  found.usable = v4.addresses;
  if (v6_done->is_set())
    found.usable.insert(found.usable.end(), v6_answer->addresses.begin(),
                        v6_answer->addresses.end());
  if (found.usable.empty()) {
    found.problem = v4.failed() ? "A lookup of " + host + ": " + v4.failure
                                : host + " has no address";
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

Awaitable<void> StsLookup::QueryInto(std::string host, DnsType type,
                                     std::shared_ptr<DnsAnswer> answer,
                                     std::shared_ptr<Event> done) {
  *answer = co_await world_.resolver.Query(host, type);
  done->Set();
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
