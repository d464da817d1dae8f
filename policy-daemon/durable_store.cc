#include "policy-daemon/durable_store.h"

#include <future>
#include <utility>

namespace postern {
namespace {

// A healthy disk takes a commit in some milliseconds.
constexpr Seconds kPatience{2};
constexpr Seconds kClosePatience{10};
constexpr Seconds kWatchInterval{1};
constexpr size_t kRowsAtOnce = 10000;

}  // namespace

DurableStore::DurableStore(boost::asio::any_io_executor executor, Clock& clock,
                           std::unique_ptr<PolicyFile> file,
                           PolicyTable::Bounds bounds, Metrics& metrics,
                           std::chrono::milliseconds patience)
    : DurableStore(std::move(executor), clock,
                   std::unique_ptr<PolicyFileBeside>(), metrics) {
  SetBounds(bounds);
  loaded_ = false;
  file_ = std::move(file);
  DiskThread::Job nothing = [] {};
  thread_ = std::make_unique<DiskThread>(executor_, clock_, std::move(nothing));
  // Nothing answers yet: here the loop may wait.
  struct First {
    std::shared_ptr<PolicyTable> table;
    std::promise<bool> complete;
  };
  const auto first = std::make_shared<First>();
  first->table = std::make_shared<PolicyTable>(bounds_);
  auto complete = first->complete.get_future();
  busy_ = true;
  thread_->Post([file = file_, first] {
    first->complete.set_value(file->Load(*first->table));
  });
  if (complete.wait_for(patience) == std::future_status::ready) {
    Loaded(first->table, complete.get());
    return;
  }
  Log(LogLevel::kError, "policies_not_read_in_time",
      {{"effect",
        "domains with a remembered policy may be answered as if they were "
        "unknown, until it is read"},
       {"advice", "check the disk of cache.directory"}});
  // The thread does one thing after the other: this comes after that load.
  busy_ = false;
  Load();
}

DurableStore::DurableStore(boost::asio::any_io_executor executor, Clock& clock,
                           std::unique_ptr<PolicyFileBeside> beside,
                           Metrics& metrics)
    : executor_(std::move(executor)),
      clock_(clock),
      policies_(
          metrics.Gauge("postern_policies", "MTA-STS policies remembered")),
      bytes_(metrics.Gauge("postern_policy_bytes",
                           "What they take in memory (see sts.max_bytes)")),
      evicted_(metrics.Counter("postern_policies_evicted_total",
                               "Policies that went for a newcomer: expired, "
                               "not enforced, or used on one day only")),
      refused_(metrics.Counter("postern_policies_refused_total",
                               "Policies that could not be remembered: there "
                               "was no room for them")),
      table_(std::make_shared<PolicyTable>(bounds_)),
      beside_(std::move(beside)),
      loaded_(true),
      self_(std::make_shared<DurableStore*>(this)) {}

DurableStore::~DurableStore() { *self_ = nullptr; }

// --- Reading.

void DurableStore::Load() {
  if (std::exchange(busy_, true)) return;
  const bool posted = thread_->Post([self = self_, executor = executor_,
                                     file = file_, bounds = bounds_] {
    const auto table = std::make_shared<PolicyTable>(bounds);
    bool complete = false;
    try {
      complete = file->Load(*table);
    } catch (const std::exception& error) {
      Log(LogLevel::kError, "policies_not_read", {{"reason", error.what()}});
    }
    boost::asio::post(executor, [self, table, complete] {
      if (*self) (*self)->Loaded(table, complete);
    });
  });
  if (!posted) busy_ = false;
}

void DurableStore::Loaded(const std::shared_ptr<PolicyTable>& table,
                          bool complete) {
  busy_ = false;
  loaded_ = complete;
  // What came meanwhile is newer.
  if (table_->is_empty()) {
    table_ = table;
    table_->SetBounds(bounds_);
  } else {
    table_->Merge(*table);
  }
  Changed();
}

StsMemory DurableStore::Find(const std::string& domain) {
  StsMemory memory = table_->Find(domain);
  if (beside_ && !memory.policy && !memory.failure)
    return beside_->Find(domain);
  memory.unread = !loaded_ && !memory.policy;
  return memory;
}

Awaitable<std::vector<std::string>> DurableStore::Due(WallTime now,
                                                      size_t limit) {
  table_->Tick(clock_.BootNow(), now);
  std::vector<std::string> due = table_->Due(now, limit);
  // Failures have lapsed.
  Changed();
  co_return due;
}

// --- Writing.

Awaitable<void> DurableStore::PutPolicy(std::string domain,
                                        StoredPolicy policy) {
  const bool kept =
      table_->PutPolicy(domain, std::move(policy), clock_.WallNow());
  if (!kept) {
    refused_.Increment();
    uint64_t suppressed = 0;
    if (log_.Allow(clock_.Now(), &suppressed))
      Log(LogLevel::kWarn, "policy_not_remembered",
          {{"domain", domain},
           {"reason",
            "there is no room, and all that is remembered is in use or of as "
            "much worth"},
           {"effect", "each delivery looks it up anew"},
           {"advice", "raise sts.max_bytes or cache.max_entries"},
           {"suppressed", suppressed}});
    co_return;
  }
  // What is not read yet is not written to: there is nothing to wait for.
  if (!thread_ || !loaded_) co_return;
  const auto durable = std::make_shared<Event>(executor_, clock_);
  waiting_.push_back(durable);
  Changed();
  co_await durable->WaitUntil(clock_.Now() + kPatience);
}

void DurableStore::PutFailure(const std::string& domain, FailedFetch failure) {
  table_->PutFailure(domain, std::move(failure));
  Changed();
}

void DurableStore::NoteUse(const std::string& domain, WallTime used_at,
                           WallTime check_at) {
  table_->NoteUse(domain, used_at, check_at);
  Changed();
}

void DurableStore::Schedule(const std::string& domain, WallTime fetched_at,
                            WallTime check_at) {
  table_->Schedule(domain, fetched_at, check_at);
  Changed();
}

void DurableStore::Forget(const std::string& domain) {
  table_->Forget(domain);
  Changed();
}

void DurableStore::NoteExpired(const std::string& domain, WallTime now) {
  table_->NoteExpired(domain, now);
  Changed();
}

void DurableStore::SetBounds(PolicyTable::Bounds bounds) {
  bounds_ = bounds;
  table_->SetBounds(bounds);
  Changed();
}

void DurableStore::Changed() {
  policies_.Set(static_cast<double>(table_->policies()));
  bytes_.Set(static_cast<double>(table_->bytes()));
  evicted_.Increment(static_cast<double>(table_->TakeEvicted()));
  Flush();
}

void DurableStore::Flush(bool is_poll) {
  // What is not read yet must not be overwritten by a guess.
  if (!thread_ || !loaded_ || busy_) return;
  if (!table_->HasChanges() && !is_poll) return;
  in_flight_ = std::make_shared<const std::vector<PolicyRow>>(
      table_->TakeChanges(kRowsAtOnce));
  const bool is_all = !table_->HasChanges();
  if (is_all) written_ = std::exchange(waiting_, {});
  busy_ = thread_->Post([self = self_, executor = executor_, file = file_,
                         rows = in_flight_, is_all] {
    PolicyFile::Outcome outcome;
    try {
      outcome = file->Write(*rows, is_all);
    } catch (const std::exception& error) {
      Log(LogLevel::kError, "policies_not_written", {{"reason", error.what()}});
    }
    boost::asio::post(executor, [self, outcome = std::move(outcome)] {
      if (*self) (*self)->Written(outcome);
    });
  });
  if (!busy_) Written({});
}

void DurableStore::Written(const PolicyFile::Outcome& outcome) {
  busy_ = false;
  const Rows rows = std::exchange(in_flight_, nullptr);
  const WallTime now = clock_.WallNow();
  for (const Purged& purged : outcome.purged)
    table_->Purge(purged.domain, purged.at == WallTime{} ? now : purged.at,
                  now);
  for (const Purged& purged : outcome.purged) purged_.push_back(purged.domain);
  if (!outcome.written) table_->GiveBack(*rows);
  if (outcome.replaced) table_->MarkAllChanged();
  // Also where it was refused: then nobody waits for it.
  for (const auto& event : std::exchange(written_, {})) event->Set();
  // A disk that has just refused is asked again by the watch.
  if (outcome.written || outcome.replaced || !outcome.purged.empty()) Changed();
}

Awaitable<void> DurableStore::Watch(OnPurged on_purged) {
  for (;;) {
    Event pause(executor_, clock_);
    co_await pause.WaitUntil(clock_.Now() + kWatchInterval);
    if (!thread_) continue;
    if (!loaded_) Load();
    if (loaded_ && !busy_) {
      const auto polled = std::make_shared<Event>(executor_, clock_);
      waiting_.push_back(polled);
      Flush(/*is_poll=*/true);
      co_await polled->WaitUntil(clock_.Now() + kPatience);
    }
    for (const std::string& domain : std::exchange(purged_, {}))
      on_purged(domain);
  }
}

bool DurableStore::Close() {
  if (!thread_) return true;
  // What is being written may be refused; then it goes first, once more.
  const auto write = [this](Rows rows, bool is_all) {
    thread_->Post([file = file_, rows = std::move(rows), is_all] {
      file->Write(*rows, is_all);
    });
  };
  if (in_flight_) write(in_flight_, false);
  while (loaded_ && table_->HasChanges()) {
    auto rows = table_->TakeChanges(kRowsAtOnce);
    write(std::make_shared<const std::vector<PolicyRow>>(std::move(rows)),
          !table_->HasChanges());
  }
  if (!thread_->Finish(kClosePatience)) return false;
  file_.reset();
  return true;
}

}  // namespace postern
