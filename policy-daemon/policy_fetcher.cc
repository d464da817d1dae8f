#include "policy-daemon/policy_fetcher.h"

#include <algorithm>

#include "common/log.h"
#include "common/text.h"

#include "policy-daemon/fetch_reason.h"

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
// Of one registrable domain, running or waiting: nobody fills the room alone.
constexpr size_t kMaxOfParent = 100;
constexpr char kPolicyPath[] = "/.well-known/mta-sts.txt";

std::string PolicyHostOf(const std::string& domain) {
  return "mta-sts." + domain;
}

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
      ours_(world_.metrics.Counter("postern_sts_fetches_total",
                                   "MTA-STS policy fetches by result",
                                   {{"result", "our-trouble"}})),
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
  return asked_at < held_.Note(domain, world_.clock.Now());
}

bool PolicyFetcher::HasHeld(const std::string& domain) const {
  return held_.Has(domain, world_.clock.Now());
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
  size_t& of_parent =
      of_parent_[std::string(RegistrableDomain(request.domain))];
  if (of_parent >= kMaxOfParent) return nullptr;
  ++of_parent;
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
  if (--fetcher_.of_parent_[parent_] == 0) fetcher_.of_parent_.erase(parent_);
  --(background_ ? fetcher_.in_background_ : fetcher_.in_foreground_);
  fetcher_.fetching_.Decrement();
  flight_->done.Set();
}

void PolicyFetcher::NoteFailure(const FetchRequest& request,
                                const PolicyFetch& flight) {
  const FetchResult& result = flight.result;
  const bool through_us = result.crowded || result.ours;
  (result.ours ? ours_ : failed_).Increment();
  uint64_t suppressed = 0;
  if (log_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kWarn, "sts_fetch_failed",
        {{"domain", request.domain},
         {"type", result.crowded ? "not-tried"
                  : result.ours  ? "our-trouble"
                                 : ResultTypeName(result.type)},
         {"reason", result.reason},
         {"effect", result.ours
                        ? "nothing is held against the domain: see this "
                          "machine's routes, firewall, descriptors, sts.proxy"
                    : request.previous ? "the remembered policy stays in force"
                                       : "counts as without MTA-STS"},
         {"suppressed", suppressed}});
  // Nothing is known against the domain. But mail is not held for it a second
  // time.
  if (through_us && !HasHeld(request.domain)) return;
  const WallTime now = world_.clock.WallNow();
  FailedFetch failure = request.failure.value_or(FailedFetch{});
  failure.id = request.id;
  if (!request.failure) failure.first_at = now;
  failure.last_at = now;
  if (!through_us) ++failure.tries;
  failure.reason = result.reason;
  world_.store.PutFailure(request.domain, std::move(failure));
}

Awaitable<FetchResult> PolicyFetcher::Fetch(const FetchRequest& request) {
  const std::string host = PolicyHostOf(request.domain);
  const HostAddresses addresses =
      co_await AddressesOf(world_.executor, world_.clock, world_.resolver, host,
                           settings_.address_filter);
  if (addresses.usable.empty()) {
    if (addresses.refused) NoteRefused(host, addresses);
    FetchResult failed;
    failed.reason = addresses.problem;
    failed.told = ToldOf(addresses, host);
    co_return failed;
  }
  const auto response = co_await AskEach(request, addresses.usable);
  if (!response) {
    FetchResult crowded;
    crowded.crowded = true;
    crowded.reason = "too many policy fetches at once (sts.max_fetches)";
    co_return crowded;
  }
  FetchResult result = Judge(*response, request);
  NoteReach(request, *response, result);
  // With NAT64 the address that leads there may be one of those.
  if (result.ours && !addresses.not_global.empty())
    NoteRefused(host, addresses);
  co_return result;
}

Awaitable<std::optional<HttpsResponse>> PolicyFetcher::AskEach(
    const FetchRequest& request, std::vector<IpAddress> addresses) {
  std::optional<HttpsProxy> proxy;
  if (settings_.proxy)
    proxy = co_await FindProxy(world_.executor, world_.clock, world_.resolver,
                               *settings_.proxy);
  const SteadyTime turn_deadline = world_.clock.Now() + kMaxTurn;
  std::optional<HttpsResponse> response;
  std::optional<SteadyTime> deadline;  // from the first request on
  while (!addresses.empty()) {
    FetchSeats::Wanted wanted{addresses,
                              std::string(RegistrableDomain(request.domain)),
                              request.background};
    const std::unique_ptr<FetchSeats::Seat> seat = co_await seats_.Take(
        std::move(wanted),
        deadline ? std::min(turn_deadline, *deadline) : turn_deadline);
    if (!seat) break;
    const IpAddress address = seat->address();
    std::erase(addresses, address);
    if (proxy) addresses.clear();  // it resolves the name itself
    const SteadyTime now = world_.clock.Now();
    if (!deadline)
      deadline = now + (request.background ? std::min(settings_.fetch_timeout,
                                                      kBackgroundTimeout)
                                           : settings_.fetch_timeout);
    HttpsRequest get;
    get.host = PolicyHostOf(request.domain);
    get.address = address;
    get.proxy = proxy;
    get.port = settings_.port;
    get.path = kPolicyPath;
    get.max_body = kMaxPolicyBytes;
    get.deadline = *deadline;
    get.connect_deadline = addresses.empty()
                               ? *deadline
                               : std::min(*deadline, now + kConnectTimeout);
    get.cancel = seat->cancel();
    HttpsResponse answer = co_await world_.https.Ask(std::move(get));
    const std::chrono::duration<double> taken = world_.clock.Now() - now;
    seconds_.Observe(taken.count());
    // An answer, be it too large, will not be better elsewhere.
    if (answer.failure == HttpsFailure::kNone ||
        answer.failure == HttpsFailure::kTooLarge)
      co_return answer;
    if (seat->displaced()) {
      answer.failure = HttpsFailure::kTimeout;
      answer.detail = "slow, while others waited for its place";
    }
    answer.detail = address.ToString() + ": " + answer.detail;
    // An address that nobody here can reach tells less than any other.
    if (!response || answer.failure != HttpsFailure::kLocal)
      response = std::move(answer);
    if (seat->displaced() || world_.clock.Now() >= *deadline) break;
  }
  co_return response;
}

void PolicyFetcher::NoteRefused(const std::string& host,
                                const HostAddresses& addresses) {
  uint64_t suppressed = 0;
  if (refused_log_.Allow(world_.clock.Now(), &suppressed))
    Log(LogLevel::kWarn, "sts_addresses_refused",
        {{"host", host},
         {"addresses", ListOf(addresses.not_global)},
         {"suppressed", suppressed},
         {"advice",
          "they are not global; if they are yours, or of your NAT64, "
          "sts.allow_private lets them in"}});
}

void PolicyFetcher::NoteReach(const FetchRequest& request,
                              const HttpsResponse& response,
                              FetchResult& result) {
  switch (response.failure) {
    case HttpsFailure::kLocal:
      result.ours = true;
      break;
    case HttpsFailure::kRefused:
    case HttpsFailure::kConnect:
    case HttpsFailure::kTls:
      world_.outage.NoteUnreached(
          std::string(RegistrableDomain(request.domain)),
          !request.failure || request.failure->tries == 0);
      result.unreached = true;
      result.ours = world_.outage.outage();
      break;
    case HttpsFailure::kNone:
    case HttpsFailure::kCertificate:
    case HttpsFailure::kProtocol:
    case HttpsFailure::kTooLarge:
    case HttpsFailure::kTimeout:
      world_.outage.NoteReached();
  }
}

FetchResult PolicyFetcher::Judge(const HttpsResponse& response,
                                 const FetchRequest& request) {
  const auto fail = [](ResultType type, std::string reason, std::string told) {
    FetchResult failed;
    failed.type = type;
    failed.reason = std::move(reason);
    failed.told = std::move(told);
    return failed;
  };
  // What is wrong with an answer is the domain's own.
  const auto refuse = [&fail](ResultType type, std::string reason) {
    return fail(type, reason, reason);
  };
  constexpr auto kFetchError = ResultType::kStsPolicyFetchError;
  if (response.failure != HttpsFailure::kNone)
    return fail(response.failure == HttpsFailure::kCertificate
                    ? ResultType::kStsWebpkiInvalid
                    : kFetchError,
                response.detail,
                ToldOf(response, PolicyHostOf(request.domain)));
  // RFC 8461 section 3.3: only 200 is valid, redirects are not followed.
  if (response.status != 200)
    return refuse(kFetchError,
                  "HTTP status " + std::to_string(response.status));
  if (!IsTextPlain(response.content_type))
    return refuse(kFetchError, "the media type is '" +
                                   Printable(response.content_type, 60) +
                                   "' instead of text/plain");
  if (!response.content_encoding.empty() &&
      ToLowerAscii(response.content_encoding) != "identity")
    return refuse(kFetchError,
                  "the answer is encoded, which we did not ask for");
  auto policy = ParseStsPolicy(response.body);
  if (!policy)
    return refuse(ResultType::kStsPolicyInvalid,
                  "invalid policy: " + policy.error().message);
  FetchResult fetched;
  fetched.stored = MakeStored(std::move(*policy), request);
  return fetched;
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
