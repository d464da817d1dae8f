#include "policy-daemon/lookup.h"

#include <algorithm>

namespace postern {
namespace {

// One domain with many hosts must not take up the resolver.
constexpr size_t kHostsAtOnce = 8;
// Where all lookups hold so much, no TLSA records are kept for texts.
constexpr size_t kBytesWithTlsa = 64 << 20;

// A reason may quote the remote side.
void Shorten(std::string& reason) {
  if (reason.size() > kMaxReason) reason.resize(kMaxReason);
}

}  // namespace

Lookup::Lookup(const World& world, Settings settings, PolicyKey key)
    : world_(world),
      settings_(settings),
      settled_(world.executor, world.clock),
      completed_(world.executor, world.clock) {
  facts_.key = std::move(key);
}

Lookup::~Lookup() { *world_.bytes_held -= bytes_; }

class Lookup::Branch {
 public:
  explicit Branch(Lookup& lookup) : lookup_(lookup) {}
  Branch(const Branch&) = delete;
  Branch& operator=(const Branch&) = delete;
  ~Branch() { lookup_.BranchEnded(); }

 private:
  Lookup& lookup_;
};

void Lookup::Start(std::function<void()> on_change) {
  on_change_ = std::move(on_change);
  // A place for this function, so that no branch that ends at once is the last.
  running_ = 1;
  if (settings_.with_dane) {
    ++running_;
    Spawn(world_.executor, RunDane(shared_from_this()));
  } else {
    // Every set counts as insecure and every host as none.
    facts_.mx.state = MxState::kInsecure;
    facts_.mx.skipped = true;
    HostFacts host;
    host.name = facts_.key.domain;
    host.state = HostState::kNone;
    host.reason = "DANE is off";
    host.ttl = Seconds(3600);
    facts_.hosts = {host};
  }
  if (settings_.with_sts) {
    ++running_;
    Spawn(world_.executor, RunSts(shared_from_this()));
  } else {
    facts_.sts.skipped = true;
    facts_.sts.state = StsState::kOther;
  }
  const Branch own(*this);
}

Awaitable<void> Lookup::RunDane(std::shared_ptr<Lookup> self) {
  const Branch branch(*self);
  DaneLookup::MxSet set = co_await self->world_.dane.FindMx(self->facts_.key);
  self->facts_.mx = std::move(set.facts);
  Shorten(self->facts_.mx.reason);
  self->facts_.hosts.resize(set.hosts.size());
  for (size_t i = 0; i < set.hosts.size(); ++i)
    self->facts_.hosts[i].name = std::move(set.hosts[i]);
  for (size_t i = 0; i < std::min(set.hosts.size(), kHostsAtOnce); ++i) {
    ++self->running_;
    Spawn(self->world_.executor, self->RunHosts(self));
  }
  self->Update();
}

Awaitable<void> Lookup::RunHosts(std::shared_ptr<Lookup> self) {
  const Branch branch(*self);
  auto& hosts = self->facts_.hosts;
  while (self->next_host_ < hosts.size()) {
    const size_t index = self->next_host_++;
    HostFacts host = co_await self->world_.dane.FindHost(hosts[index].name,
                                                         self->facts_.key.port);
    self->TakeHost(index, std::move(host));
    self->Update();
  }
}

Awaitable<void> Lookup::RunSts(std::shared_ptr<Lookup> self) {
  const Branch branch(*self);
  StsLookup::Publish publish = [self](const StsFacts& facts) {
    self->facts_.sts = facts;
    Shorten(self->facts_.sts.txt_reason);
    Shorten(self->facts_.sts.fetch_reason);
    self->Update();
  };
  co_await self->world_.sts.Run(self->facts_.key.domain, std::move(publish));
}

void Lookup::TakeHost(size_t index, HostFacts host) {
  if (tlsa_bytes_ + TlsaBytes(host) > kMaxTlsaBytesInAll ||
      *world_.bytes_held > kBytesWithTlsa)
    LeaveOutTlsa(host);
  tlsa_bytes_ += TlsaBytes(host);
  Shorten(host.reason);
  facts_.hosts[index] = std::move(host);
}

void Lookup::CountBytes() {
  const size_t bytes = BytesOf(facts_);
  *world_.bytes_held += bytes - bytes_;
  bytes_ = bytes;
}

void Lookup::BranchEnded() {
  if (--running_ > 0) return;
  // With everything known the answer lives as long as its records do.
  decision_ = Settle(facts_, settings_.decision);
  on_change_();
  // Where nothing was to be looked up, Update() was never called.
  settled_.Set();
  completed_.Set();
}

void Lookup::Update() {
  CountBytes();
  if (decision_) return;
  decision_ = Settle(facts_, settings_.decision);
  if (!decision_) return;
  on_change_();
  settled_.Set();
}

Facts AtDeadline(Facts facts) {
  static constexpr char kNoAnswer[] = "no answer in time";
  if (facts.mx.state == MxState::kPending) {
    facts.mx.state = MxState::kFailed;
    facts.mx.reason = kNoAnswer;
  }
  for (HostFacts& host : facts.hosts) {
    if (host.state != HostState::kPending) continue;
    host.state = HostState::kUnknown;
    host.reason = kNoAnswer;
  }
  if (facts.sts.txt == StsTxt::kPending) {
    facts.sts.txt = StsTxt::kFailed;
    facts.sts.txt_reason = kNoAnswer;
    if (facts.sts.state == StsState::kPending)
      facts.sts.state = StsState::kOther;
  }
  return facts;
}

}  // namespace postern
