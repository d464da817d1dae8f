// A world for scenario tests: time, DNS, HTTPS, a store, all under the
// test's hands.
//
//   world.dns.Mx("example.com", {"mx.example.com"});
//   world.dns.A("mx.example.com", "192.0.2.1").Insecure().After(3s);
//   world.https.Serve("mta-sts.example.com", policy).After(20s);
//   const auto answer = world.Start(service.Answer("example.com", ...));
//   world.Pass(8s);
//   EXPECT_EQ(answer.value(), ...);
//
// Time is virtual: Pass() fires the timers that fall due, in order, and lets
// the loop run dry after each moment. Nothing sleeps, and the loop is only
// polled.
//
// The end of a test: a coroutine may wait for an Event that lives in its own
// frame, so that nobody but the Event's deadline can free it. Hence End(),
// before anything that coroutines refer to is destroyed (a fixture calls it
// in TearDown): what DNS and HTTPS still owe is answered with a failure, and
// time runs until no timer is left. A coroutine that outlives even that is
// reported.
#pragma once

#include <chrono>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "common/clock.h"
#include "common/dns.h"
#include "common/event.h"
#include "common/https.h"
#include "common/metrics.h"

#include "policy-daemon/outcome_sink.h"
#include "policy-daemon/policy_store.h"

namespace postern {

using Duration = std::chrono::steady_clock::duration;

// A clock whose hands the test turns.
class FakeClock final : public Clock {
 public:
  // 2026-11-22T13:05:07Z.
  static constexpr WallTime kWallStart{Seconds(1795352707)};

  explicit FakeClock(boost::asio::io_context& loop) : loop_(loop) {}

  SteadyTime Now() const override { return now_; }
  WallTime WallNow() const override;
  std::unique_ptr<Timer> CallAt(SteadyTime when,
                                std::function<void()> call) override;

  // Lets the loop run until nothing is ready; time stands still.
  void RunReady();
  // Fires what falls due until `when`, each at its own time.
  void AdvanceTo(SteadyTime when);
  // True: time went on to the next timer; its call was made, with all others
  // of that moment.
  bool FireNext();
  Duration since_start() const { return now_ - kStart; }
  size_t timers() const { return calls_.size(); }

 private:
  class FakeTimer;
  // The second part keeps calls of one moment in the order they were made.
  using Place = std::pair<SteadyTime, uint64_t>;
  static constexpr SteadyTime kStart{std::chrono::hours(1000)};

  boost::asio::io_context& loop_;
  SteadyTime now_ = kStart;
  uint64_t next_ = 0;
  std::map<Place, std::function<void()>> calls_;
};

// What a test says about one name and type. Secure unless told otherwise.
struct FakeAnswer {
  DnsAnswer answer;
  Duration delay{0};
  bool never = false;

  FakeAnswer& Insecure() { return answer.secure = false, *this; }
  FakeAnswer& Ttl(int seconds) { return answer.ttl = Seconds(seconds), *this; }
  FakeAnswer& After(Duration d) { return delay = d, *this; }
  FakeAnswer& Never() { return never = true, *this; }
  // The name is a CNAME that leads to `target`.
  FakeAnswer& Alias(std::string target) {
    answer.is_alias = true;
    answer.canonical_name = std::move(target);
    return *this;
  }
};

// DNS as a map. What it does not hold is NODATA: secure, with a TTL of 1 h.
class FakeResolver final : public Resolver {
 public:
  FakeResolver(boost::asio::any_io_executor executor, Clock& clock);

  using Names = std::vector<std::string>;
  FakeAnswer& Mx(const std::string& name, const Names& exchanges);
  FakeAnswer& A(const std::string& name, const std::string& address);
  FakeAnswer& Addresses(const std::string& name, const Names& v4);
  FakeAnswer& Aaaa(const std::string& name, const std::string& address);
  FakeAnswer& Tlsa(const std::string& name,
                   const std::vector<TlsaRecord>& records);
  FakeAnswer& Txt(const std::string& name, const Names& records);
  FakeAnswer& Cname(const std::string& name, const std::string& target);
  FakeAnswer& NoData(const std::string& name, DnsType type);
  FakeAnswer& NxDomain(const std::string& name, DnsType type);
  FakeAnswer& Fail(const std::string& name, DnsType type,
                   const std::string& why = "SERVFAIL");
  // Fails, but is there.
  void Bogus(const std::string& name, DnsType type);

  // A DANE host as it should be: secure address, one usable record.
  void DaneHost(const std::string& host, const std::string& base = "");
  // What an unsigned zone gives.
  void PlainHost(const std::string& host);
  // Nobody says whether it has an address.
  void SilentHost(const std::string& host);

  int queries(const std::string& name, DnsType type) const;
  int queries_of_type(DnsType type) const;
  int queries() const { return total_; }
  int in_flight() const { return in_flight_; }
  int most_in_flight() const { return most_in_flight_; }

  // Whoever waits for an answer gets a failure.
  void GiveUp() { given_up_.Set(); }

  Awaitable<DnsAnswer> Query(std::string name, DnsType type) override;
  // What was put for it with Bogus(), else as Query().
  Awaitable<DnsAnswer> QueryUnchecked(std::string name, DnsType type) override;
  bool Validates() const override { return validates; }

  bool validates = true;

  // Answers without suspending, as where getdns refuses a question at once.
  bool at_once = false;

 private:
  using Key = std::pair<std::string, DnsType>;
  FakeAnswer& Put(const std::string& name, DnsType type, DnsAnswer::Kind kind);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Event given_up_;
  std::map<Key, FakeAnswer> answers_;
  std::set<Key> bogus_;
  std::map<Key, int> queries_;
  int total_ = 0;
  int in_flight_ = 0;
  int most_in_flight_ = 0;
};

// What a policy host does.
struct FakeSite {
  HttpsResponse response;
  Duration delay{0};
  bool black_hole = false;  // connecting gets no answer
  bool drips = false;       // sends for ever

  FakeSite& After(Duration d) { return delay = d, *this; }
  FakeSite& Status(int status) { return response.status = status, *this; }
  FakeSite& Type(std::string type) {
    return response.content_type = std::move(type), *this;
  }
  FakeSite& Encoding(std::string encoding) {
    return response.content_encoding = std::move(encoding), *this;
  }
};

// HTTPS as a map by host, or by host and address. Keeps the deadlines and
// the bound that a request sets, as HttpsClient must.
class FakeHttps final : public HttpsClient {
 public:
  FakeHttps(boost::asio::any_io_executor executor, Clock& clock);

  FakeSite& Serve(const std::string& host, const std::string& body,
                  const std::string& address = "");
  FakeSite& Fail(const std::string& host, HttpsFailure failure,
                 const std::string& address = "");
  FakeSite& BlackHole(const std::string& host, const std::string& address = "");
  FakeSite& Drip(const std::string& host, const std::string& address = "");

  int fetches(const std::string& host) const;
  int fetches() const { return static_cast<int>(requests.size()); }
  int in_flight() const { return in_flight_; }
  int most_in_flight() const { return most_in_flight_; }
  int most_at_one_address() const { return most_at_one_address_; }

  void GiveUp() {
    given_up_ = true;
    for (Event* request : running_) request->Set();
  }

  Awaitable<HttpsResponse> Ask(HttpsRequest request) override;

  std::vector<HttpsRequest> requests;  // in order
  std::vector<SteadyTime> times;       // of the requests

 private:
  const FakeSite* Find(const HttpsRequest& request) const;

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  bool given_up_ = false;
  std::set<Event*> running_;
  std::map<std::pair<std::string, std::string>, FakeSite> sites_;
  std::map<IpAddress, int> at_address_;
  int in_flight_ = 0;
  int most_in_flight_ = 0;
  int most_at_one_address_ = 0;
};

// A store that the test can fill and look into. Where nothing is due, Due()
// takes its time (an hour at most) until something is, so that idle days pass
// at once.
class FakeStore final : public PolicyStore {
 public:
  FakeStore(boost::asio::any_io_executor executor, Clock& clock)
      : executor_(std::move(executor)), clock_(clock) {}

  Awaitable<StsMemory> Find(std::string domain) override;
  Awaitable<void> PutPolicy(std::string domain, StoredPolicy policy) override;
  void PutFailure(const std::string& domain, FailedFetch failure) override;
  void NoteUse(const std::string& domain, WallTime used_at,
               WallTime check_at) override;
  void Schedule(const std::string& domain, WallTime fetched_at,
                WallTime check_at) override;
  void Forget(const std::string& domain) override;
  void ForgetExpired(const std::string& domain, WallTime now) override;
  Awaitable<std::vector<std::string>> Due(WallTime now, size_t limit) override;

  std::map<std::string, StsMemory> entries;
  Duration delay{0};        // of a disk
  bool unreadable = false;  // nothing can be found out about any domain

 private:
  using Agenda = std::vector<std::pair<WallTime, std::string>>;
  Agenda Sorted() const;
  void NoteChange() { std::exchange(changed_, NewEvent())->Set(); }
  std::shared_ptr<Event> NewEvent() {
    return std::make_shared<Event>(executor_, clock_);
  }
  Awaitable<void> WaitForDisk();

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  std::shared_ptr<Event> changed_ = NewEvent();
};

class FakeOutcomes final : public OutcomeSink {
 public:
  void Record(Finding finding) override { all.push_back(std::move(finding)); }
  std::vector<Finding> all;
};

// A coroutine that was started, and what came of it.
template <class T>
class Started {
 public:
  bool done() const { return state_->value.has_value(); }
  // REQUIRES: done().
  const T& value() const { return state_->value.value(); }
  // When it ended, since the start of the test.
  Duration ended_at() const { return state_->ended_at; }

  struct State {
    std::optional<T> value;
    Duration ended_at{};
  };
  // Shared by the test and the coroutine.
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class FakeWorld {
 public:
  FakeWorld();
  ~FakeWorld();

  template <class T>
  Started<T> Start(Awaitable<T> work) {
    Started<T> started;
    Spawn(loop.get_executor(), Keep<T>(std::move(work), started.state_));
    clock.RunReady();
    return started;
  }
  // Starts and goes on, at most for `patience`, until it has ended.
  template <class T>
  T Run(Awaitable<T> work, Duration patience = std::chrono::minutes(10)) {
    const Started<T> started = Start(std::move(work));
    const SteadyTime limit = clock.Now() + patience;
    while (!started.done() && clock.Now() < limit && clock.FireNext()) {
    }
    return std::move(started.state_->value.value());
  }
  void Pass(Duration time) { clock.AdvanceTo(clock.Now() + time); }
  void End();

  boost::asio::io_context loop;
  FakeClock clock{loop};
  Metrics metrics;
  FakeResolver dns{loop.get_executor(), clock};
  FakeHttps https{loop.get_executor(), clock};
  FakeStore store{loop.get_executor(), clock};
  FakeOutcomes outcomes;

 private:
  template <class T>
  Awaitable<void> Keep(Awaitable<T> work,
                       std::shared_ptr<typename Started<T>::State> state) {
    ++running_;
    T value = co_await std::move(work);
    state->value.emplace(std::move(value));
    state->ended_at = clock.since_start();
    --running_;
  }

  int running_ = 0;
};

// A client of a unix socket, in this very thread: each call lets the loop
// run, so that whatever the server does at once has been done.
class FakeClient {
 public:
  FakeClient(FakeWorld& world, const std::string& path);
  FakeClient(const FakeClient&) = delete;
  ~FakeClient();

  bool connected() const { return connected_; }
  // How much the server's side took.
  size_t Send(std::string_view bytes);
  // What has come so far.
  std::string Read();
  // The server has closed, and everything before that was read.
  bool closed();
  void EndInput();
  void Close();

 private:
  FakeWorld& world_;
  int fd_;
  bool connected_ = false;
  bool closed_ = false;
};

// "3 1 1" with some digest: what a good host publishes.
TlsaRecord UsableTlsa();
// "1 1 1": a usage that SMTP does not define.
TlsaRecord UnusableTlsa();

// A policy file.
std::string PolicyText(const std::string& mode, const std::string& mx,
                       int max_age);

}  // namespace postern
