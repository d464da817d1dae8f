#include "policy-daemon/policy_fetcher.h"

#include <algorithm>

#include "common/log.h"
#include "common/text.h"

namespace postern {
namespace {

// Refetch at a random point of this span, whatever the id says: owners forget
// to change it, and a fixed time would tell an attacker when to block.
constexpr Seconds kMaxRefetchSpan{24 * 3600};
// Whoever publishes a policy of seconds does not keep us busy for ever: it is
// fetched again when it is asked for.
constexpr Seconds kMinRecheck{300};
constexpr size_t kMaxBackgroundWaiting = 1000;
constexpr Seconds kBackgroundTimeout{30};
// An address that does not answer must not use up the patience for the next.
constexpr Seconds kConnectTimeout{4};
// How long a fetch waits for its turn, before its own time starts.
constexpr Seconds kMaxTurn{60};
constexpr size_t kMaxWaiting = 10000;
constexpr char kPolicyPath[] = "/.well-known/mta-sts.txt";

bool IsTextPlain(std::string_view content_type) {
  const auto type = content_type.substr(0, content_type.find(';'));
  return ToLowerAscii(TrimBlanks(type)) == "text/plain";
}

}  // namespace

PolicyFetcher::PolicyFetcher(World world, StsSettings settings)
    : world_(std::move(world)),
      settings_(std::move(settings)),
      random_(std::random_device{}()),
      seats_(world_.executor, world_.clock, settings_.max_fetches),
      fetched_(world_.metrics.Counter("postern_sts_fetches_total",
                                      "MTA-STS policy fetches by result",
                                      {{"result", "ok"}})),
      failed_(world_.metrics.Counter("postern_sts_fetches_total",
                                     "MTA-STS policy fetches by result",
                                     {{"result", "failed"}})),
      fetching_(world_.metrics.Gauge("postern_sts_fetches_in_flight",
                                     "MTA-STS policy fetches in flight")),
      seconds_(world_.metrics.Latency("postern_step_seconds",
                                      "How long the steps of a lookup take",
                                      {{"step", "https"}})) {}

void PolicyFetcher::Use(StsSettings settings) {
  settings_ = std::move(settings);
  seats_.SetLimit(settings_.max_fetches);
}

Seconds PolicyFetcher::Patience() const {
  return kMaxTurn + settings_.fetch_timeout * 2 + kQueryBound;
}

bool PolicyFetcher::MayHold(const std::string& domain, SteadyTime asked_at) {
  const auto found = in_flight_.find(domain);
  // It has just ended: the next attempt has its result.
  if (found == in_flight_.end()) return true;
  auto& held_at = found->second->held_at;
  if (!held_at) held_at = world_.clock.Now();
  return asked_at < *held_at;
}

bool PolicyFetcher::HasHeld(const std::string& domain) const {
  const auto found = in_flight_.find(domain);
  return found != in_flight_.end() && found->second->held_at.has_value();
}

std::shared_ptr<PolicyFetch> PolicyFetcher::Start(FetchRequest request) {
  const auto found = in_flight_.find(request.domain);
  if (found != in_flight_.end()) return found->second;
  // Those that only wait for their turn need memory, too.
  size_t& started = request.background ? in_background_ : in_foreground_;
  const size_t bound = request.background
                           ? seats_.background_places() + kMaxBackgroundWaiting
                           : settings_.max_fetches + kMaxWaiting;
  if (started >= bound) return nullptr;
  ++started;
  // Held here as well: the fetch may end before Spawn() returns.
  const auto flight =
      std::make_shared<PolicyFetch>(world_.executor, world_.clock);
  in_flight_[request.domain] = flight;
  fetching_.Increment();
  Spawn(world_.executor, Run(std::move(request), flight));
  return flight;
}

Awaitable<void> PolicyFetcher::Run(FetchRequest request,
                                   std::shared_ptr<PolicyFetch> flight) {
  // Whatever happens, nobody may wait for a fetch that has ended.
  const Landing landing(*this, request, flight);
  flight->result = co_await Fetch(request);
  const FetchResult& result = flight->result;
  if (!result.stored) {
    failed_.Increment();
    NoteFailure(request, *flight);
    co_return;
  }
  fetched_.Increment();
  // The newer policy ends the older one, also where it is not kept itself.
  if (result.stored->expires_at > result.stored->fetched_at)
    co_await world_.store.PutPolicy(request.domain, *result.stored);
  else
    world_.store.Forget(request.domain);
  const bool changed =
      !request.previous || *request.previous != *result.stored->policy;
  if (changed && on_change_) on_change_(request.domain);
}

PolicyFetcher::Landing::~Landing() {
  fetcher_.in_flight_.erase(domain_);
  --(background_ ? fetcher_.in_background_ : fetcher_.in_foreground_);
  fetcher_.fetching_.Decrement();
  flight_->done.Set();
}

void PolicyFetcher::NoteFailure(const FetchRequest& request,
                                const PolicyFetch& flight) {
  const FetchResult& result = flight.result;
  uint64_t suppressed = 0;
  if (log_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kWarn, "sts_fetch_failed",
        {{"domain", request.domain},
         {"type", result.crowded ? "not-tried" : ResultTypeName(result.type)},
         {"reason", result.reason},
         {"effect", request.previous ? "the remembered policy stays in force"
                                     : "counts as without MTA-STS"},
         {"suppressed", suppressed}});
  // No request was made: nothing is known against the domain. But mail is not
  // held for it a second time.
  if (result.crowded && !flight.held_at) return;
  const WallTime now = world_.clock.WallNow();
  FailedFetch failure = request.failure.value_or(FailedFetch{});
  failure.id = request.id;
  if (!request.failure) failure.first_at = now;
  failure.last_at = now;
  ++failure.tries;
  failure.reason = result.reason;
  world_.store.PutFailure(request.domain, std::move(failure));
}

Awaitable<FetchResult> PolicyFetcher::Fetch(const FetchRequest& request) {
  const SteadyTime turn_deadline = world_.clock.Now() + kMaxTurn;
  const std::string host = "mta-sts." + request.domain;
  const HostAddresses addresses =
      co_await AddressesOf(world_.executor, world_.clock, world_.resolver, host,
                           settings_.address_filter);
  if (addresses.refused) NoteRefused(host);
  HttpsResponse response;
  response.failure = HttpsFailure::kConnect;
  response.detail = addresses.problem;
  std::optional<SteadyTime> deadline;  // from the first request on
  for (const IpAddress& address : addresses.usable) {
    const bool last = &address == &addresses.usable.back();
    const std::unique_ptr<FetchSeats::Seat> seat =
        co_await seats_.Take(address, request.background, turn_deadline);
    if (!seat) continue;  // another address may be free
    const SteadyTime now = world_.clock.Now();
    if (!deadline)
      deadline = now + (request.background ? std::min(settings_.fetch_timeout,
                                                      kBackgroundTimeout)
                                           : settings_.fetch_timeout);
    HttpsRequest get;
    get.host = host;
    get.address = address;
    get.port = settings_.port;
    get.path = kPolicyPath;
    get.max_body = kMaxPolicyBytes;
    get.deadline = *deadline;
    get.connect_deadline =
        last ? *deadline : std::min(*deadline, now + kConnectTimeout);
    get.cancel = seat->cancel();
    response = co_await world_.https.Ask(std::move(get));
    const std::chrono::duration<double> taken = world_.clock.Now() - now;
    seconds_.Observe(taken.count());
    // An answer, be it too large, will not be better elsewhere.
    if (response.failure == HttpsFailure::kNone ||
        response.failure == HttpsFailure::kTooLarge)
      break;
    if (seat->displaced()) {
      response.failure = HttpsFailure::kTimeout;
      response.detail = "slow, while others waited for its place";
    }
    response.detail = address.ToString() + ": " + response.detail;
    if (seat->displaced()) break;
    if (world_.clock.Now() >= *deadline) break;
  }
  if (!deadline && !addresses.usable.empty()) {
    FetchResult crowded;
    crowded.crowded = true;
    crowded.reason = "too many policy fetches at once (sts.max_fetches)";
    co_return crowded;
  }
  co_return Judge(response, request);
}

void PolicyFetcher::NoteRefused(const std::string& host) {
  uint64_t suppressed = 0;
  if (log_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kWarn, "sts_addresses_refused",
        {{"host", host},
         {"suppressed", suppressed},
         {"advice", "if they are yours, sts.allow_private lets them in"}});
}

FetchResult PolicyFetcher::Judge(const HttpsResponse& response,
                                 const FetchRequest& request) {
  const auto fail = [](ResultType type, std::string reason) {
    return FetchResult{{}, std::move(reason), type};
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
  return FetchResult{MakeStored(std::move(*policy), request), "", {}};
}

StoredPolicy PolicyFetcher::MakeStored(StsPolicy policy,
                                       const FetchRequest& request) {
  StoredPolicy stored;
  stored.fetched_at = world_.clock.WallNow();
  // RFC 8461 section 3.2: the lifetime counts from the fetch.
  stored.expires_at = stored.fetched_at + policy.max_age;
  const int64_t span = std::min(policy.max_age, kMaxRefetchSpan).count();
  std::uniform_int_distribution<int64_t> point(span / 3, span * 2 / 3);
  stored.refetch_at = stored.fetched_at + Seconds(point(random_));
  stored.check_at = std::max(
      std::min(stored.fetched_at + request.check_after, stored.refetch_at),
      stored.fetched_at + kMinRecheck);
  if (!request.background) stored.used_at = stored.fetched_at;
  stored.id = request.id;
  stored.policy =
      std::make_shared<const StsPolicy>(Essential(std::move(policy)));
  return stored;
}

}  // namespace postern
