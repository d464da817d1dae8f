#include "policy-daemon/policy_service.h"

#include <algorithm>

#include "common/log.h"

#include "policy-daemon/findings.h"
#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

// Warm-ups start no more lookups while one of so many of policy.max_lookups is
// taken: the rest is for questions.
constexpr size_t kWarmUpShare = 2;
// Lookups in flight, answered ones included, as a multiple of
// policy.max_lookups.
constexpr size_t kAnsweredShare = 4;
// What lookups in flight may hold in all: some thousand of the largest, and
// little beside the bound of the unit.
constexpr size_t kMaxBytesHeld = 128 << 20;
// For answers that were made while a resolver was doubted.
constexpr Seconds kDoubtedTtl{5};
// Destinations whose warm-up has found something.
constexpr size_t kMaxUnasked = 1000;

struct KindNames {
  const char* reply;
  const char* temp;  // why; null: no TEMP
};
const std::array<KindNames, kReplyKinds> kKindNames = {{
    {"secure", nullptr},
    {"dane-only", nullptr},
    {"dane", nullptr},
    {"notfound", nullptr},
    {"override", nullptr},
    {"temp", "mx-lookup"},
    {"temp", "dane-unknown"},
    {"temp", "slow-policy-file"},
    {"temp", "too-many-lookups"},
}};

// Of answers that were made while no resolver validated: nobody gets them once
// one does.
constexpr char kWithoutDnssec[] = " without-dnssec";

// Answers looked up with something off are remembered apart.
std::string MemoryKey(std::string_view key, const Override* overriding) {
  std::string name(key);
  if (overriding && overriding->sts_off) name += " sts-off";
  if (overriding && overriding->dane_off) name += " dane-off";
  return name;
}

const std::string& NotFoundNetstring() {
  static const std::string netstring = EncodeNetstring(kNotFoundReply);
  return netstring;
}

}  // namespace

PolicyService::PolicyService(const World& world, Settings settings)
    : world_(world),
      settings_(settings),
      services_(LoadServicePorts()),
      table_(settings.max_entries, settings.max_bytes),
      results_(world.metrics),
      hits_(world.metrics.Counter("postern_answers_from_memory_total",
                                  "Answers given without a lookup")),
      lookups_(
          world.metrics.Gauge("postern_lookups_in_flight", "Lookups running")),
      entries_(
          world.metrics.Gauge("postern_table_entries", "Answers in memory")),
      bytes_(world.metrics.Gauge("postern_table_bytes",
                                 "Memory used by answers, estimated")),
      latency_(world.metrics.Latency("postern_lookup_seconds",
                                     "From a question to its settled answer")) {
  for (size_t i = 0; i < kReplyKinds; ++i) {
    const auto& [reply, temp] = kKindNames[i];
    answers_[i] = &world.metrics.Counter("postern_answers_total",
                                         "Answers to Postfix by kind",
                                         {{"reply", reply}});
    if (temp)
      temps_[i] = &world.metrics.Counter(
          "postern_temp_total", "TEMP answers by reason", {{"reason", temp}});
  }
}

void PolicyService::Use(Settings settings, Overrides overrides) {
  const bool same_answers =
      settings.dane_enabled == settings_.dane_enabled &&
      settings.mixed_reply_dane_only == settings_.mixed_reply_dane_only &&
      settings.reply == settings_.reply;
  settings_ = settings;
  overrides_ = std::move(overrides);
  table_.SetBounds(settings.max_entries, settings.max_bytes);
  // Overrides are asked before the table, so its answers hold as they are.
  if (!same_answers) Drop("");
}

PolicyService::Known PolicyService::AnswerNow(std::string_view key,
                                              Dialect dialect) {
  if (key.empty() || key.size() > kMaxKeyLength || key.front() == '.') {
    Count(ReplyKind::kNotFound);
    return {NotFoundNetstring(), nullptr};
  }
  const Override* overriding =
      overrides_.empty() ? nullptr : overrides_.Find(key);
  if (overriding && !overriding->reply.empty()) {
    hits_.Increment();
    Count(overriding->kind);
    return {overriding->reply, PolicyOf(key, overriding)};
  }
  // Keys come in their normal spelling nearly always: no parsing on this path.
  auto found = overriding ? InMemory(MemoryKey(key, overriding), dialect)
                          : InMemory(key, dialect);
  if (found.text.empty()) return {};
  hits_.Increment();
  Count(found.kind);
  if (!unasked_.empty()) TellOfUnasked(NameFor(key, overriding));
  return {found.text, std::move(found.policy)};
}

Awaitable<PolicyService::Reply> PolicyService::Answer(std::string text,
                                                      Dialect dialect) {
  const SteadyTime asked_at = world_.lookup.clock.Now();
  const auto key = ParsePolicyKey(text, services_);
  if (!key) {
    Count(ReplyKind::kNotFound);
    co_return Reply{NotFoundNetstring(), PolicyOf("", nullptr)};
  }
  const std::string spelled = key->ToString();
  // In this spelling it may be known after all.
  Known known = AnswerNow(spelled, dialect);
  if (!known.text.empty())
    co_return Reply{std::string(known.text), std::move(known.policy)};
  const std::shared_ptr<Flight> flight = Join(*key);
  Replies replies;
  if (!flight) {
    replies = TempReplies(NoRoom(), ReplyKind::kTempTooManyLookups);
  } else {
    flight->asked = true;
    if (auto at_once = WithoutHeldFetch(*flight)) {
      replies = std::move(*at_once);
    } else if (co_await flight->lookup->settled().WaitUntil(
                   asked_at + settings_.answer_timeout)) {
      replies = flight->replies;
    } else {
      replies = AtTimeout(*flight, asked_at);
    }
  }
  Count(replies.kind);
  co_return Reply{std::move(replies.text[static_cast<size_t>(dialect)]),
                  std::move(replies.policy)};
}

// Of an answer without a lookup: what an override says, or NOTFOUND.
AnsweredPolicyPtr PolicyService::PolicyOf(std::string_view key,
                                          const Override* overriding) const {
  if (!settings_.reply.with_policy) return nullptr;
  AnsweredPolicy policy;
  if (const auto parsed = ParsePolicyKey(key, services_))
    policy.domain = parsed->domain;
  if (overriding) {
    policy.demand = overriding->demand;
    policy.policy_type = overriding->policy_type;
  }
  return std::make_shared<const AnsweredPolicy>(std::move(policy));
}

bool PolicyService::WarmUp(std::string_view text) {
  const auto key = ParsePolicyKey(text, services_);
  if (!key) return false;
  const std::string spelled = key->ToString();
  const Override* overriding = overrides_.Find(spelled);
  if (overriding && !overriding->reply.empty()) return false;
  if (!InMemory(MemoryKey(spelled, overriding), Dialect::kPolicy)
           .text.empty() ||
      in_flight_.contains(NameFor(spelled, overriding)) ||
      in_flight_.size() >= settings_.max_lookups / kWarmUpShare)
    return false;
  Join(*key);
  return true;
}

void PolicyService::Drop(const std::string& domain) {
  std::vector<std::string> names;
  if (domain.empty()) {
    table_.Clear();
    unasked_.clear();
    for (const auto& [name, flight] : in_flight_) names.push_back(name);
  } else {
    for (const uint16_t port : ports_) {
      for (const bool is_host : {false, true}) {
        const PolicyKey key{domain, port, is_host};
        for (const char* off : {"", " dane-off", kWithoutDnssec})
          names.push_back(key.ToString() + off);
      }
    }
    for (const std::string& name : names) {
      table_.Drop(name);
      unasked_.erase(name);
    }
    // Who has not read the policy yet will read the new one.
    std::erase_if(names, [this](const std::string& name) {
      const auto found = in_flight_.find(name);
      return found == in_flight_.end() ||
             found->second->lookup->facts().sts.state == StsState::kPending;
    });
  }
  for (const std::string& name : names) PutAside(name);
  NoteSize();
}

void PolicyService::PutAside(const std::string& name) {
  const auto found = in_flight_.find(name);
  if (found->second->stale) return;
  const std::shared_ptr<Flight> flight = std::move(found->second);
  in_flight_.erase(found);
  flight->stale = true;
  // No key has a name like this.
  flight->name += " stale " + std::to_string(++put_aside_);
  in_flight_[flight->name] = flight;
}

const Override* PolicyService::OverrideFor(const PolicyKey& key) const {
  return overrides_.Find(key.ToString());
}

Awaitable<std::shared_ptr<Lookup>> PolicyService::Explain(PolicyKey key) {
  const std::shared_ptr<Flight> flight = Join(key);
  if (!flight) co_return nullptr;
  co_await flight->lookup->completed().WaitUntil(world_.lookup.clock.Now() +
                                                 Seconds(600));
  co_return flight->lookup;
}

DecisionSettings PolicyService::Choices() const {
  return {.mixed_reply_dane_only = settings_.mixed_reply_dane_only,
          .dane_is_enough = DaneIsEnough(settings_.reply.site_level)};
}

const char* PolicyService::NoRoom() const {
  // Nothing raises this bound, and more lookups would only reach it sooner.
  if (bytes_held() >= kMaxBytesHeld)
    return "lookups in progress hold too much memory; mail is tried again "
           "later";
  // Lookups that only wait for a slow policy file leave the others their room;
  // the fetcher bounds them.
  const size_t fetching = world_.fetcher.in_foreground();
  // Those that are answered already cost little, but not nothing.
  const bool has_room =
      undecided_ < settings_.max_lookups + fetching &&
      in_flight_.size() < settings_.max_lookups * kAnsweredShare + fetching;
  return has_room
             ? nullptr
             : "too many lookups at once; raise policy.max_lookups if this "
               "lasts";
}

std::shared_ptr<PolicyService::Flight> PolicyService::Join(
    const PolicyKey& key) {
  const Override* overriding = OverrideFor(key);
  const std::string name = NameFor(key.ToString(), overriding);
  if (const auto found = in_flight_.find(name); found != in_flight_.end())
    return found->second;
  if (NoRoom()) return nullptr;
  ports_.insert(key.port);
  const bool dane_off = overriding && overriding->dane_off;
  const Lookup::Settings settings{
      .with_dane =
          settings_.dane_enabled && !dane_off && world_.resolver.Validates(),
      .with_sts = !(overriding && overriding->sts_off),
      .decision = Choices()};
  const auto flight = std::make_shared<Flight>();
  flight->name = name;
  flight->doubted = world_.resolver.Dnssec() == DnssecState::kDoubted;
  flight->lookup = std::make_shared<Lookup>(world_.lookup, settings, key);
  in_flight_[name] = flight;
  ++undecided_;
  lookups_.Set(static_cast<double>(in_flight_.size()));
  const SteadyTime started = world_.lookup.clock.Now();
  // The flight is alive while it stands in in_flight_, which outlasts every
  // call: the last one takes it out.
  flight->lookup->Start([this, started, flight = flight.get()] {
    if (!flight->lookup->settled().is_set()) {
      const std::chrono::duration<double> seconds =
          world_.lookup.clock.Now() - started;
      latency_.Observe(seconds.count());
    }
    if (!std::exchange(flight->decided, true)) --undecided_;
    Remember(*flight);
    if (!flight->lookup->complete()) return;
    Observe(*flight);
    in_flight_.erase(flight->name);
    lookups_.Set(static_cast<double>(in_flight_.size()));
  });
  return flight;
}

AnswerTable::Found PolicyService::InMemory(std::string_view name,
                                           Dialect dialect) {
  const SteadyTime now = world_.lookup.clock.Now();
  const DnssecState dnssec = world_.resolver.Dnssec();
  auto found = table_.Find(name, dialect, now, dnssec == DnssecState::kDoubted);
  // What was found while a resolver validated holds for its time.
  if (found.text.empty() && dnssec == DnssecState::kOff)
    found = table_.Find(std::string(name) + kWithoutDnssec, dialect, now);
  return found;
}

std::string PolicyService::NameFor(std::string_view key,
                                   const Override* overriding) const {
  std::string name = MemoryKey(key, overriding);
  if (world_.resolver.Dnssec() == DnssecState::kOff) name += kWithoutDnssec;
  return name;
}

Replies PolicyService::HeldDane(std::string_view name) {
  Replies replies;
  if (world_.resolver.Dnssec() != DnssecState::kDoubted) return replies;
  const SteadyTime now = world_.lookup.clock.Now();
  for (const Dialect dialect : {Dialect::kPolicy, Dialect::kTlsrpt}) {
    const auto found = table_.Find(name, dialect, now, /*dane_holds=*/true);
    replies.text[static_cast<size_t>(dialect)] = found.text;
    replies.kind = found.kind;
    replies.policy = found.policy;
  }
  return replies;
}

void PolicyService::Remember(Flight& flight) {
  const Facts& facts = flight.lookup->facts();
  const auto& decision = flight.lookup->decision();
  if (!decision) return;
  flight.replies = BuildReplies(facts, *decision, settings_.reply);
  if (!IsDane(flight.replies.kind)) {
    Replies held = HeldDane(flight.name);
    if (IsDane(held.kind)) {
      flight.replies = std::move(held);
      return;
    }
  }
  Seconds ttl = AnswerTtl(facts, *decision);
  flight.doubted |= world_.resolver.Dnssec() == DnssecState::kDoubted;
  if (flight.doubted) ttl = std::min(ttl, kDoubtedTtl);
  // An answer does not outlive the policy that it rests on.
  if (facts.sts.policy)
    ttl = std::min(ttl, facts.sts.expires_at - world_.lookup.clock.WallNow());
  if (ttl > Seconds(0) && !flight.stale)
    table_.Put(flight.name, flight.replies, world_.lookup.clock.Now() + ttl);
  NoteSize();
}

void PolicyService::NoteSize() {
  entries_.Set(static_cast<double>(table_.size()));
  bytes_.Set(static_cast<double>(table_.bytes()));
}

// Of a lookup that has ended.
void PolicyService::Observe(const Flight& flight) {
  const Facts& facts = flight.lookup->facts();
  results_.Count(facts);
  const ReplyKind kind = flight.replies.kind;
  const bool asked = flight.asked;
  const Answered answered{
      .temp_for_policy_file = flight.held,
      .temp_for_dns = asked && (kind == ReplyKind::kTempMxLookup ||
                                kind == ReplyKind::kTempDaneUnknown),
      .secure = kind == ReplyKind::kSecure};
  std::vector<Finding> findings = FindingsOf(facts, answered);
  unasked_.erase(flight.name);
  // Warm-ups are nobody's session. Who asks next gets their answer.
  if (!asked) {
    if (findings.empty() || flight.stale) return;
    if (unasked_.size() >= kMaxUnasked) unasked_.clear();
    unasked_[flight.name] = std::move(findings);
    return;
  }
  for (Finding& finding : findings) world_.outcomes.Record(std::move(finding));
}

void PolicyService::TellOfUnasked(const std::string& name) {
  const auto found = unasked_.find(name);
  if (found == unasked_.end()) return;
  for (Finding& finding : found->second)
    world_.outcomes.Record(std::move(finding));
  unasked_.erase(found);
}

std::optional<Replies> PolicyService::WithoutHeldFetch(
    const Flight& flight) const {
  const Facts& found = flight.lookup->facts();
  if (found.sts.fetch != StsFetch::kPending ||
      found.sts.state != StsState::kPending ||
      !world_.fetcher.HasHeld(found.key.domain))
    return std::nullopt;
  Facts facts = found;
  facts.sts.state = StsState::kOther;
  const auto decision = Settle(facts, Choices());
  if (!decision) return std::nullopt;
  return BuildReplies(facts, *decision, settings_.reply);
}

Replies PolicyService::AtTimeout(Flight& flight, SteadyTime asked_at) {
  Facts facts = AtDeadline(flight.lookup->facts());
  auto decision = Settle(facts, Choices());
  if (!decision) {
    // Only a policy fetch is left.
    const std::string& domain = facts.key.domain;
    if (world_.fetcher.MayHold(domain, asked_at)) {
      flight.held = true;
      return TempReplies("the MTA-STS policy file of " + domain +
                             " is slow to arrive; the next attempt will not "
                             "wait",
                         ReplyKind::kTempSlowPolicyFile);
    }
    facts.sts.state = StsState::kOther;
    decision = Settle(facts, Choices());
  }
  return BuildReplies(facts, *decision, settings_.reply);
}

void PolicyService::Count(ReplyKind kind) {
  const auto index = static_cast<size_t>(kind);
  answers_[index]->Increment();
  if (temps_[index]) temps_[index]->Increment();
}

}  // namespace postern
