#include "policy-daemon/policy_service.h"

#include <algorithm>

#include "common/log.h"

#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

const std::array<const char*, kReplyKinds> kKindNames = {
    "secure", "dane-only", "dane", "notfound", "temp"};

const std::string& NotFoundNetstring() {
  static const std::string netstring = EncodeNetstring(kNotFoundReply);
  return netstring;
}

}  // namespace

PolicyService::PolicyService(const Lookup::World& world, Resolver& resolver,
                             Settings settings, Metrics& metrics)
    : world_(world),
      resolver_(resolver),
      settings_(settings),
      services_(LoadServicePorts()),
      table_(settings.max_entries, settings.max_bytes),
      hits_(metrics.Counter("postern_answers_from_memory_total",
                            "Answers given without a lookup")),
      lookups_(metrics.Gauge("postern_lookups_in_flight", "Lookups running")),
      entries_(metrics.Gauge("postern_table_entries", "Answers in memory")),
      bytes_(metrics.Gauge("postern_table_bytes",
                           "Memory used by answers, estimated")),
      latency_(metrics.Latency("postern_lookup_seconds",
                               "From a question to its settled answer")) {
  for (size_t i = 0; i < kReplyKinds; ++i)
    answers_[i] =
        &metrics.Counter("postern_answers_total", "Answers to Postfix by kind",
                         {{"reply", kKindNames[i]}});
}

std::string_view PolicyService::AnswerNow(std::string_view key,
                                          Dialect dialect) {
  if (key.empty() || key.size() > kMaxKeyLength || key.front() == '.') {
    answers_[static_cast<size_t>(ReplyKind::kNotFound)]->Increment();
    return NotFoundNetstring();
  }
  // Keys come in their normal spelling nearly always: no parsing on this path.
  const auto found = table_.Find(key, dialect, world_.clock.Now());
  if (found.text.empty()) return {};
  hits_.Increment();
  answers_[static_cast<size_t>(found.kind)]->Increment();
  return found.text;
}

Awaitable<std::string> PolicyService::Answer(std::string text,
                                             Dialect dialect) {
  const SteadyTime asked_at = world_.clock.Now();
  const auto key = ParsePolicyKey(text, services_);
  if (!key) co_return Count(NotFoundNetstring(), ReplyKind::kNotFound);
  const auto found = table_.Find(key->ToString(), dialect, asked_at);
  if (!found.text.empty()) {
    hits_.Increment();
    co_return Count(std::string(found.text), found.kind);
  }
  const std::shared_ptr<Flight> flight = Join(*key);
  Replies replies;
  if (!flight) {
    replies = TempReplies(
        "too many lookups at once; raise policy.max_lookups if this lasts");
  } else {
    if (auto at_once = WithoutHeldFetch(*flight)) {
      replies = std::move(*at_once);
    } else if (co_await flight->lookup->settled().WaitUntil(
                   asked_at + settings_.answer_timeout)) {
      replies = flight->replies;
    } else {
      replies = AtTimeout(*flight, asked_at);
    }
  }
  co_return Count(replies.text[static_cast<size_t>(dialect)], replies.kind);
}

Awaitable<std::shared_ptr<Lookup>> PolicyService::Explain(PolicyKey key) {
  const std::shared_ptr<Flight> flight = Join(key);
  if (!flight) co_return nullptr;
  co_await flight->lookup->completed().WaitUntil(world_.clock.Now() +
                                                 Seconds(600));
  co_return flight->lookup;
}

std::shared_ptr<PolicyService::Flight> PolicyService::Join(
    const PolicyKey& key) {
  const std::string text = key.ToString();
  if (const auto found = in_flight_.find(text); found != in_flight_.end())
    return found->second;
  // Lookups that only wait for a slow policy file are bounded by max_fetches,
  // and leave the others their room.
  const size_t fetching =
      std::min(world_.sts.fetches_in_flight(), settings_.max_fetches);
  if (in_flight_.size() >= settings_.max_lookups + fetching) return nullptr;
  const Lookup::Settings settings{
      .with_dane = settings_.dane_enabled && resolver_.Validates(),
      .mixed_reply_dane_only = settings_.mixed_reply_dane_only};
  const auto flight = std::make_shared<Flight>();
  flight->lookup = std::make_shared<Lookup>(world_, settings, key);
  in_flight_[text] = flight;
  lookups_.Set(static_cast<double>(in_flight_.size()));
  const SteadyTime started = world_.clock.Now();
  // The flight is alive while it stands in in_flight_, which outlasts every
  // call: the last one takes it out.
  flight->lookup->Start([this, text, started, flight = flight.get()] {
    if (!flight->lookup->settled().is_set()) {
      const std::chrono::duration<double> seconds =
          world_.clock.Now() - started;
      latency_.Observe(seconds.count());
    }
    Remember(text, *flight);
    if (!flight->lookup->complete()) return;
    in_flight_.erase(text);
    lookups_.Set(static_cast<double>(in_flight_.size()));
  });
  return flight;
}

void PolicyService::Remember(const std::string& key, Flight& flight) {
  const Facts& facts = flight.lookup->facts();
  const auto& decision = flight.lookup->decision();
  if (!decision) return;
  flight.replies = BuildReplies(facts, *decision, settings_.reply);
  Seconds ttl = AnswerTtl(facts, *decision);
  // An answer does not outlive the policy that it rests on.
  if (facts.sts.policy) {
    const WallTime now = world_.clock.WallNow();
    ttl = std::min(ttl, facts.sts.expires_at - now);
    // A question has to reach the lookup when a refetch is due.
    if (facts.sts.refetch_at > now)
      ttl = std::min(ttl, facts.sts.refetch_at - now);
  }
  if (ttl > Seconds(0))
    table_.Put(key, flight.replies, world_.clock.Now() + ttl);
  entries_.Set(static_cast<double>(table_.size()));
  bytes_.Set(static_cast<double>(table_.bytes()));
}

std::optional<Replies> PolicyService::WithoutHeldFetch(
    const Flight& flight) const {
  Facts facts = flight.lookup->facts();
  if (facts.sts.fetch != StsFetch::kPending ||
      facts.sts.state != StsState::kPending ||
      !world_.sts.HasHeld(facts.key.domain))
    return std::nullopt;
  facts.sts.state = StsState::kOther;
  const auto decision = Settle(facts, settings_.mixed_reply_dane_only);
  if (!decision) return std::nullopt;
  return BuildReplies(facts, *decision, settings_.reply);
}

Replies PolicyService::AtTimeout(const Flight& flight, SteadyTime asked_at) {
  Facts facts = AtDeadline(flight.lookup->facts());
  const bool mixed = settings_.mixed_reply_dane_only;
  auto decision = Settle(facts, mixed);
  if (!decision) {
    // Only a policy fetch is left.
    const std::string& domain = facts.key.domain;
    if (world_.sts.MayHold(domain, asked_at))
      return TempReplies("the MTA-STS policy file of " + domain +
                         " is slow to arrive; the next attempt will not wait");
    facts.sts.state = StsState::kOther;
    decision = Settle(facts, mixed);
  }
  return BuildReplies(facts, *decision, settings_.reply);
}

std::string PolicyService::Count(std::string reply, ReplyKind kind) {
  answers_[static_cast<size_t>(kind)]->Increment();
  return reply;
}

}  // namespace postern
