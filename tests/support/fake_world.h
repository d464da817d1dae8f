// A world for scenario tests of the policy daemon: what is outside
// (fake_outside.h), and a store.
//
//   world.dns.Mx("example.com", {"mx.example.com"});
//   const auto answer = world.Start(service.Answer("example.com", ...));
//   world.Pass(8s);
//   EXPECT_EQ(answer.value(), ...);
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy-daemon/outcome_sink.h"
#include "policy-daemon/policy_table.h"
#include "tests/support/fake_outside.h"

namespace postern {

// A store in memory that the test can fill and look into. Where nothing is due,
// Due() takes its time (an hour at most) until something is, so that idle days
// pass at once.
class FakeStore final : public PolicyStore {
 public:
  FakeStore(boost::asio::any_io_executor executor, Clock& clock)
      : executor_(std::move(executor)), clock_(clock) {}

  StsMemory Find(const std::string& domain) override;
  Awaitable<void> PutPolicy(std::string domain, StoredPolicy policy) override;
  void PutFailure(const std::string& domain, FailedFetch failure) override;
  void NoteUse(const std::string& domain, WallTime used_at,
               WallTime check_at) override;
  void Schedule(const std::string& domain, WallTime fetched_at,
                WallTime check_at) override;
  void Forget(const std::string& domain) override;
  void NoteExpired(const std::string& domain, WallTime now) override;
  Awaitable<std::vector<std::string>> Due(WallTime now, size_t limit) override;

  // Nothing is remembered any more.
  void Clear() { table_.Purge("", WallTime::max(), clock_.WallNow()); }
  bool Contains(const std::string& domain) {
    const StsMemory memory = table_.Find(domain);
    return memory.policy || memory.failure;
  }
  // As if it were read from a file.
  void Load(const std::string& domain, StoredPolicy policy) {
    StsMemory memory;
    memory.policy = std::move(policy);
    table_.Forget(domain);
    table_.Load(domain, std::move(memory), true);
    NoteChange();
  }
  void SetBounds(PolicyTable::Bounds bounds) { table_.SetBounds(bounds); }

  bool unreadable = false;  // nothing can be found out about any domain
  // What reads the clock for the store does so this often.
  Seconds longest_pause = std::chrono::hours(1);

 private:
  void NoteChange() { std::exchange(changed_, NewEvent())->Set(); }
  std::shared_ptr<Event> NewEvent() {
    return std::make_shared<Event>(executor_, clock_);
  }

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  PolicyTable table_{{}};
  std::shared_ptr<Event> changed_ = NewEvent();
};

class FakeOutcomes final : public OutcomeSink {
 public:
  void Record(Finding finding) override { all.push_back(std::move(finding)); }
  std::vector<Finding> all;
};

class FakeWorld : public FakeOutside {
 public:
  FakeStore store{loop.get_executor(), clock};
  FakeOutcomes outcomes;
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

// A policy file.
std::string PolicyText(const std::string& mode, const std::string& mx,
                       int max_age);

}  // namespace postern
