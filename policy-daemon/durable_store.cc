#include "policy-daemon/durable_store.h"

#include "common/log.h"

namespace postern {
namespace {

// A healthy disk answers in well under a millisecond.
constexpr Seconds kPatience{2};
constexpr Seconds kClosePatience{10};
constexpr Seconds kWatchInterval{1};
// What it returns must not get lost.
constexpr Seconds kWatchPatience{600};

}  // namespace

struct DurableStore::OnDisk {
  std::unique_ptr<PolicyFile> file;
  std::vector<std::function<void()>> when_durable;

  void Settle() {
    file->Commit();
    for (const auto& call : when_durable) call();
    when_durable.clear();
  }
};

DurableStore::DurableStore(boost::asio::any_io_executor executor, Clock& clock,
                           std::unique_ptr<PolicyFile> file, Metrics& metrics)
    : executor_(executor),
      clock_(clock),
      lost_(metrics.Counter("postern_store_errors_total",
                            "Reads and writes of policies that failed")),
      disk_(std::make_shared<OnDisk>()) {
  disk_->file = std::move(file);
  thread_ = std::make_unique<DiskThread>(executor, clock,
                                         [disk = disk_] { disk->Settle(); });
}

DurableStore::~DurableStore() = default;

bool DurableStore::Close() {
  if (!thread_->Finish(kClosePatience)) return false;
  disk_->file.reset();
  return true;
}

Awaitable<StsMemory> DurableStore::Find(std::string domain) {
  std::function<StsMemory()> find = [disk = disk_, domain] {
    return disk->file->Find(domain);
  };
  std::optional<StsMemory> memory =
      co_await thread_->Run<StsMemory>(std::move(find), kPatience);
  if (memory) co_return std::move(*memory);
  lost_.Increment();
  uint64_t suppressed = 0;
  if (log_.Allow(clock_.Now(), &suppressed))
    Log(LogLevel::kError, "policies_not_read_in_time",
        {{"domain", domain},
         {"effect", "its policy is looked up as if it were unknown"},
         {"advice", "check the disk of cache.directory"},
         {"suppressed", suppressed}});
  StsMemory unknown;
  unknown.unread = true;
  co_return unknown;
}

Awaitable<void> DurableStore::PutPolicy(std::string domain,
                                        StoredPolicy policy) {
  const auto durable = std::make_shared<Event>(executor_, clock_);
  const WallTime now = clock_.WallNow();
  const bool posted = thread_->Post(
      [disk = disk_, executor = executor_, durable, domain = std::move(domain),
       policy = std::move(policy), now]() mutable {
        disk->file->PutPolicy(domain, std::move(policy), now);
        disk->when_durable.push_back(
            [executor, durable = std::move(durable)]() mutable {
              boost::asio::post(
                  executor, [durable = std::move(durable)] { durable->Set(); });
            });
      });
  if (!posted) lost_.Increment();
  if (posted) co_await durable->WaitUntil(clock_.Now() + kPatience);
}

void DurableStore::PutFailure(const std::string& domain, FailedFetch failure) {
  Post([domain, failure = std::move(failure)](PolicyFile& file) {
    file.PutFailure(domain, failure);
  });
}

void DurableStore::NoteUse(const std::string& domain, WallTime used_at,
                           WallTime check_at) {
  Post([=](PolicyFile& file) { file.NoteUse(domain, used_at, check_at); });
}

void DurableStore::Schedule(const std::string& domain, WallTime fetched_at,
                            WallTime check_at) {
  Post([=](PolicyFile& file) { file.Schedule(domain, fetched_at, check_at); });
}

void DurableStore::ForgetExpired(const std::string& domain, WallTime now) {
  Post([=](PolicyFile& file) { file.ForgetExpired(domain, now); });
}

void DurableStore::Forget(const std::string& domain) {
  Post([domain](PolicyFile& file) { file.Forget(domain); });
}

Awaitable<std::vector<std::string>> DurableStore::Due(WallTime now,
                                                      size_t limit) {
  using Domains = std::vector<std::string>;
  std::function<Domains()> due = [disk = disk_, now, limit] {
    return disk->file->Due(now, limit);
  };
  std::optional<Domains> domains =
      co_await thread_->Run<Domains>(std::move(due), kPatience);
  co_return std::move(domains).value_or(Domains());
}

void DurableStore::SetBounds(uint64_t max_policies, uint64_t max_bytes) {
  Post([=](PolicyFile& file) { file.SetBounds(max_policies, max_bytes); });
}

Awaitable<void> DurableStore::Watch(OnPurged on_purged) {
  using Domains = std::vector<std::string>;
  for (;;) {
    Event pause(executor_, clock_);
    co_await pause.WaitUntil(clock_.Now() + kWatchInterval);
    std::function<Domains()> poll = [disk = disk_] {
      return disk->file->Poll();
    };
    const std::optional<Domains> purged =
        co_await thread_->Run<Domains>(std::move(poll), kWatchPatience);
    for (const std::string& domain : purged.value_or(Domains()))
      on_purged(domain);
  }
}

void DurableStore::Post(std::function<void(PolicyFile&)> job) {
  const bool posted =
      thread_->Post([disk = disk_, job = std::move(job)] { job(*disk->file); });
  if (!posted) lost_.Increment();
}

}  // namespace postern
