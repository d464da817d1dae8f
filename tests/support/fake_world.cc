#include "tests/support/fake_world.h"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include "common/log.h"

namespace postern {
namespace {

// For those who wait for ever.
constexpr auto kAges = std::chrono::hours(24 * 365 * 10);

// A real adapter never answers from inside the call.
Awaitable<void> Turn(boost::asio::any_io_executor executor) {
  co_await boost::asio::post(executor, boost::asio::use_awaitable);
}

}  // namespace

class FakeClock::FakeTimer final : public Timer {
 public:
  FakeTimer(FakeClock& clock, Place place) : clock_(clock), place_(place) {}
  ~FakeTimer() override { clock_.calls_.erase(place_); }

 private:
  FakeClock& clock_;
  Place place_;
};

WallTime FakeClock::WallNow() const {
  return kWallStart + std::chrono::floor<Seconds>(now_ - kStart);
}

std::unique_ptr<Timer> FakeClock::CallAt(SteadyTime when,
                                         std::function<void()> call) {
  const Place place{when, next_++};
  calls_.emplace(place, std::move(call));
  return std::make_unique<FakeTimer>(*this, place);
}

void FakeClock::RunReady() {
  do {
    loop_.restart();
  } while (loop_.poll() > 0);
}

bool FakeClock::FireNext() {
  RunReady();
  if (calls_.empty()) return false;
  now_ = std::max(now_, calls_.begin()->first.first);
  // What falls due together is called before the loop turns, as Asio does it.
  const uint64_t already = next_;
  while (!calls_.empty() && calls_.begin()->first.first <= now_ &&
         calls_.begin()->first.second < already) {
    auto call = calls_.extract(calls_.begin());
    call.mapped()();
  }
  RunReady();
  return true;
}

void FakeClock::AdvanceTo(SteadyTime when) {
  RunReady();
  while (!calls_.empty() && calls_.begin()->first.first <= when) FireNext();
  now_ = std::max(now_, when);
}

FakeResolver::FakeResolver(boost::asio::any_io_executor executor, Clock& clock)
    : executor_(executor), clock_(clock), given_up_(executor, clock) {}

FakeAnswer& FakeResolver::Put(const std::string& name, DnsType type,
                              DnsAnswer::Kind kind) {
  FakeAnswer& fake = answers_[{name, type}];
  fake = {};
  fake.answer.kind = kind;
  fake.answer.secure = true;
  fake.answer.ttl = Seconds(3600);
  fake.answer.canonical_name = name;
  return fake;
}

FakeAnswer& FakeResolver::Mx(const std::string& name, const Names& exchanges) {
  FakeAnswer& fake = Put(name, DnsType::kMx, DnsAnswer::Kind::kData);
  for (size_t i = 0; i < exchanges.size(); ++i)
    fake.answer.mx.push_back(
        {static_cast<uint16_t>(10 * (i + 1)), exchanges[i]});
  return fake;
}

FakeAnswer& FakeResolver::A(const std::string& name,
                            const std::string& address) {
  return Addresses(name, {address});
}

FakeAnswer& FakeResolver::Addresses(const std::string& name, const Names& v4) {
  FakeAnswer& fake = Put(name, DnsType::kA, DnsAnswer::Kind::kData);
  for (const std::string& address : v4)
    fake.answer.addresses.push_back(IpAddress::Parse(address).value());
  return fake;
}

FakeAnswer& FakeResolver::Aaaa(const std::string& name,
                               const std::string& address) {
  FakeAnswer& fake = Put(name, DnsType::kAaaa, DnsAnswer::Kind::kData);
  fake.answer.addresses.push_back(IpAddress::Parse(address).value());
  return fake;
}

FakeAnswer& FakeResolver::Tlsa(const std::string& name,
                               const std::vector<TlsaRecord>& records) {
  FakeAnswer& fake = Put(name, DnsType::kTlsa, DnsAnswer::Kind::kData);
  fake.answer.tlsa = records;
  return fake;
}

FakeAnswer& FakeResolver::Txt(const std::string& name, const Names& records) {
  FakeAnswer& fake = Put(name, DnsType::kTxt, DnsAnswer::Kind::kData);
  fake.answer.txt = records;
  return fake;
}

FakeAnswer& FakeResolver::Cname(const std::string& name,
                                const std::string& target) {
  return Put(name, DnsType::kCname, DnsAnswer::Kind::kData).Alias(target);
}

FakeAnswer& FakeResolver::NoData(const std::string& name, DnsType type) {
  return Put(name, type, DnsAnswer::Kind::kNoData);
}

FakeAnswer& FakeResolver::NxDomain(const std::string& name, DnsType type) {
  return Put(name, type, DnsAnswer::Kind::kNxDomain);
}

FakeAnswer& FakeResolver::Fail(const std::string& name, DnsType type,
                               const std::string& why) {
  FakeAnswer& fake = Put(name, type, DnsAnswer::Kind::kFailed);
  fake.answer = {};
  fake.answer.failure = why;
  fake.answer.servfail = why == "SERVFAIL";
  return fake;
}

void FakeResolver::Bogus(const std::string& name, DnsType type) {
  Fail(name, type);
  bogus_.insert({name, type});
}

void FakeResolver::DaneHost(const std::string& host, const std::string& base) {
  A(host, "198.51.100.1");
  NoData(host, DnsType::kAaaa);
  Tlsa("_25._tcp." + (base.empty() ? host : base), {UsableTlsa()});
}

void FakeResolver::PlainHost(const std::string& host) {
  A(host, "198.51.100.2").Insecure();
  NoData(host, DnsType::kAaaa).Insecure();
}

void FakeResolver::SilentHost(const std::string& host) {
  NoData(host, DnsType::kA).Never();
  NoData(host, DnsType::kAaaa).Never();
}

int FakeResolver::queries(const std::string& name, DnsType type) const {
  const auto found = queries_.find({name, type});
  return found == queries_.end() ? 0 : found->second;
}

int FakeResolver::queries_of_type(DnsType type) const {
  int sum = 0;
  for (const auto& [key, count] : queries_)
    if (key.second == type) sum += count;
  return sum;
}

Awaitable<DnsAnswer> FakeResolver::Query(std::string name, DnsType type) {
  const Key key(name, type);
  ++queries_[key];
  ++total_;
  most_in_flight_ = std::max(most_in_flight_, ++in_flight_);
  FakeAnswer fake;
  fake.answer.kind = DnsAnswer::Kind::kNoData;
  fake.answer.secure = true;
  fake.answer.ttl = Seconds(3600);
  fake.answer.canonical_name = name;
  if (const auto found = answers_.find(key); found != answers_.end())
    fake = found->second;
  if (!at_once) co_await Turn(executor_);
  if (fake.never || fake.delay > Duration(0)) {
    const Duration wait = fake.never ? Duration(kAges) : fake.delay;
    if (co_await given_up_.WaitUntil(clock_.Now() + wait)) {
      fake.answer = {};
      fake.answer.failure = "the test has ended";
    }
  }
  --in_flight_;
  co_return fake.answer;
}

Awaitable<DnsAnswer> FakeResolver::QueryUnchecked(std::string name,
                                                  DnsType type) {
  const bool there = bogus_.contains({name, type});
  DnsAnswer answer = co_await Query(std::move(name), type);
  if (there) answer.kind = DnsAnswer::Kind::kData;
  answer.secure = false;
  co_return answer;
}

FakeHttps::FakeHttps(boost::asio::any_io_executor executor, Clock& clock)
    : executor_(executor), clock_(clock) {}

FakeSite& FakeHttps::Serve(const std::string& host, const std::string& body,
                           const std::string& address) {
  FakeSite& site = sites_[{host, address}];
  site = {};
  site.response.status = 200;
  site.response.content_type = "text/plain";
  site.response.body = body;
  return site;
}

FakeSite& FakeHttps::Fail(const std::string& host, HttpsFailure failure,
                          const std::string& address) {
  FakeSite& site = sites_[{host, address}];
  site = {};
  site.response.failure = failure;
  site.response.detail = "as the test wants it";
  return site;
}

FakeSite& FakeHttps::BlackHole(const std::string& host,
                               const std::string& address) {
  FakeSite& site = Fail(host, HttpsFailure::kConnect, address);
  site.black_hole = true;
  return site;
}

FakeSite& FakeHttps::Drip(const std::string& host, const std::string& address) {
  FakeSite& site = Fail(host, HttpsFailure::kTimeout, address);
  site.drips = true;
  return site;
}

int FakeHttps::fetches(const std::string& host) const {
  return static_cast<int>(
      std::count_if(requests.begin(), requests.end(),
                    [&](const auto& one) { return one.host == host; }));
}

const FakeSite* FakeHttps::Find(const HttpsRequest& request) const {
  auto found = sites_.find({request.host, request.address.ToString()});
  if (found == sites_.end()) found = sites_.find({request.host, ""});
  return found == sites_.end() ? nullptr : &found->second;
}

Awaitable<HttpsResponse> FakeHttps::Ask(HttpsRequest request) {
  requests.push_back(request);
  times.push_back(clock_.Now());
  most_in_flight_ = std::max(most_in_flight_, ++in_flight_);
  most_at_one_address_ =
      std::max(most_at_one_address_, ++at_address_[request.address]);
  FakeSite site;
  site.response.failure = HttpsFailure::kConnect;
  site.response.detail = "connection refused";
  if (const FakeSite* found = Find(request)) site = *found;
  if (site.response.body.size() > request.max_body) {
    site.response = {};
    site.response.failure = HttpsFailure::kTooLarge;
  }
  SteadyTime until = clock_.Now() + site.delay;
  if (site.black_hole) until = request.connect_deadline;
  if (site.drips) until = request.deadline;
  if (until > request.deadline || clock_.Now() >= request.deadline) {
    until = request.deadline;
    site.response = {};
    site.response.failure = HttpsFailure::kTimeout;
    site.response.detail = "too slow";
  }
  Event cancelled(executor_, clock_);
  if (request.cancel) request.cancel->call = [&cancelled] { cancelled.Set(); };
  running_.insert(&cancelled);
  if (given_up_) cancelled.Set();
  co_await Turn(executor_);
  if (until > clock_.Now() && co_await cancelled.WaitUntil(until)) {
    site.response = {};
    site.response.failure = HttpsFailure::kTimeout;
    site.response.detail = "cancelled";
  }
  running_.erase(&cancelled);
  if (request.cancel) request.cancel->call = nullptr;
  --in_flight_;
  --at_address_[request.address];
  co_return site.response;
}

Awaitable<StsMemory> FakeStore::Find(std::string domain) {
  co_await WaitForDisk();
  if (unreadable) {
    StsMemory unknown;
    unknown.unread = true;
    co_return unknown;
  }
  const auto found = entries.find(domain);
  co_return found == entries.end() ? StsMemory{} : found->second;
}

Awaitable<void> FakeStore::PutPolicy(std::string domain, StoredPolicy policy) {
  co_await WaitForDisk();
  const auto& before = entries[domain].policy;
  if (policy.used_at == WallTime{})
    policy.used_at = before ? before->used_at : clock_.WallNow();
  entries[domain] = {std::move(policy), std::nullopt};
  NoteChange();
}

void FakeStore::PutFailure(const std::string& domain, FailedFetch failure) {
  entries[domain].failure = std::move(failure);
  NoteChange();
}

void FakeStore::NoteUse(const std::string& domain, WallTime used_at,
                        WallTime check_at) {
  const auto found = entries.find(domain);
  if (found == entries.end() || !found->second.policy) return;
  found->second.policy->used_at = used_at;
  found->second.policy->check_at = check_at;
  NoteChange();
}

void FakeStore::ForgetExpired(const std::string& domain, WallTime now) {
  const auto found = entries.find(domain);
  if (found == entries.end()) return;
  const auto& [policy, failure, unread] = found->second;
  if ((policy && now < policy->expires_at) ||
      (failure && now < failure->first_at + kFailureMemory))
    return;
  Forget(domain);
}

void FakeStore::Schedule(const std::string& domain, WallTime fetched_at,
                         WallTime check_at) {
  const auto found = entries.find(domain);
  if (found == entries.end() || !found->second.policy ||
      found->second.policy->fetched_at != fetched_at)
    return;
  found->second.policy->check_at = check_at;
  NoteChange();
}

void FakeStore::Forget(const std::string& domain) {
  entries.erase(domain);
  NoteChange();
}

FakeStore::Agenda FakeStore::Sorted() const {
  Agenda agenda;
  for (const auto& [domain, memory] : entries) {
    if (memory.policy)
      agenda.emplace_back(memory.policy->check_at, domain);
    else if (memory.failure)
      agenda.emplace_back(memory.failure->first_at + kFailureMemory, domain);
  }
  std::sort(agenda.begin(), agenda.end());
  return agenda;
}

Awaitable<std::vector<std::string>> FakeStore::Due(WallTime now, size_t limit) {
  co_await WaitForDisk();
  Agenda agenda = Sorted();
  if (agenda.empty() || agenda.front().first > now) {
    Seconds pause(3600);
    if (!agenda.empty()) pause = std::min(pause, agenda.front().first - now);
    const std::shared_ptr<Event> changed = changed_;
    co_await changed->WaitUntil(clock_.Now() + pause);
    agenda = Sorted();
    now = clock_.WallNow();
  }
  std::vector<std::string> domains;
  for (const auto& [at, domain] : agenda)
    if (at <= now && domains.size() < limit) domains.push_back(domain);
  co_return domains;
}

Awaitable<void> FakeStore::WaitForDisk() {
  co_await Turn(executor_);
  if (delay == Duration(0)) co_return;
  Event pause(executor_, clock_);
  co_await pause.WaitUntil(clock_.Now() + delay);
}

// What the tests provoke is not worth a line each.
FakeWorld::FakeWorld() { SetLogLevel(LogLevel::kError); }

FakeWorld::~FakeWorld() = default;

void FakeWorld::End() {
  constexpr int kEnough = 100000;  // timers; more are fired by a mistake
  dns.GiveUp();
  https.GiveUp();
  int fired = 0;
  while (fired < kEnough && clock.FireNext()) ++fired;
  EXPECT_LT(fired, kEnough) << "timers without end";
  EXPECT_EQ(running_, 0) << "coroutines that do not end";
  EXPECT_EQ(dns.in_flight(), 0);
  EXPECT_EQ(https.in_flight(), 0);
}

FakeClient::FakeClient(FakeWorld& world, const std::string& path)
    : world_(world), fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  connected_ =
      connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
  world_.clock.RunReady();
}

FakeClient::~FakeClient() { Close(); }

void FakeClient::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  world_.clock.RunReady();
}

void FakeClient::EndInput() {
  shutdown(fd_, SHUT_WR);
  world_.clock.RunReady();
}

size_t FakeClient::Send(std::string_view bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n =
        send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += static_cast<size_t>(n);
    world_.clock.RunReady();
  }
  return sent;
}

std::string FakeClient::Read() {
  std::string bytes;
  std::array<char, 16384> chunk;
  world_.clock.RunReady();
  for (;;) {
    const ssize_t n = recv(fd_, chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EAGAIN) return bytes;
    if (n <= 0) {
      closed_ = true;
      return bytes;
    }
    bytes.append(chunk.data(), static_cast<size_t>(n));
    world_.clock.RunReady();
  }
}

bool FakeClient::closed() {
  std::array<char, 1> byte;
  world_.clock.RunReady();
  const ssize_t n = recv(fd_, byte.data(), 1, MSG_PEEK);
  return closed_ || n == 0 || (n < 0 && errno != EAGAIN);
}

TlsaRecord UsableTlsa() { return {3, 1, 1, std::string(32, 'x')}; }

TlsaRecord UnusableTlsa() { return {1, 1, 1, std::string(32, 'x')}; }

std::string PolicyText(const std::string& mode, const std::string& mx,
                       int max_age) {
  return "version: STSv1\nmode: " + mode + "\n" +
         (mx.empty() ? "" : "mx: " + mx + "\n") +
         "max_age: " + std::to_string(max_age) + "\n";
}

}  // namespace postern
