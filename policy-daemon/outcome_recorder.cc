#include "policy-daemon/outcome_recorder.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <numeric>
#include <utility>
#include <variant>

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/unordered/unordered_flat_map.hpp>
#include <pthread.h>

#include "common/spool_files.h"
#include "common/text.h"

namespace postern {
namespace {

using std::chrono::steady_clock;

constexpr int kWriterNice = 10;
constexpr Seconds kSyncInterval{1};
// What is held becomes lines so long after the first of it.
constexpr Seconds kHeldFor{60};
// How often that, and what is old, is looked at where nothing comes.
constexpr Seconds kReleaseLooks{1};
constexpr Seconds kExpiryLooks{60};
// A burst is over when nothing has come for so long; it is not awaited longer.
constexpr std::chrono::milliseconds kLull{10};
constexpr std::chrono::milliseconds kLongestBurst{100};
constexpr size_t kBlockBytes = 256 << 10;
constexpr size_t kBlockDatagrams = 4096;  // empty ones need room, too
// Of a burst's blocks; the others are given back.
constexpr size_t kMaxSpare = 16;
// Of a datagram in the inbox: its size, its place among the distinct ones.
constexpr size_t kKeeping = 64;
// Equal datagrams that are taken at once: failures are as many lines.
constexpr uint64_t kMaxRepeated = 64;
// Of a refused datagram, in the log.
constexpr size_t kShownBytes = 100;

// Signals are for the main thread.
void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

// Whether `work` was done. What it throws, mostly std::bad_alloc, ends no
// thread: outcomes may be lost, mail must not.
template <class Work>
bool IsDone(Work work) noexcept {
  try {
    work();
    return true;
  } catch (const std::exception& error) {
    static LogLimiter limiter(1);
    static std::mutex limiting;
    try {
      uint64_t suppressed = 0;
      const std::lock_guard lock(limiting);
      if (limiter.Allow(steady_clock::now(), &suppressed))
        Log(LogLevel::kError, "spool_given_up",
            {{"reason", error.what()},
             {"suppressed", suppressed},
             {"effect", "outcomes are lost; mail is not affected"}});
    } catch (const std::exception&) {
      // Then without a line; the loss is counted.
    }
    return false;
  }
}

// As libtlsrpt writes it. Failures mostly differ, and are a line each.
bool TellsOfSuccess(std::string_view datagram) {
  return datagram.ends_with(R"("f":0}]})");
}

}  // namespace

OutcomeRecorder::OutcomeRecorder(Settings settings, Times times,
                                 Metrics& metrics)
    : settings_(std::move(settings)),
      times_(std::move(times)),
      counters_(metrics),
      batch_(settings_.budget),
      writer_(settings_.directory,
              {settings_.budget.day_bytes, settings_.min_free}),
      expiry_(settings_.directory, settings_.keep_days) {
  spare_.reserve(kMaxSpare);  // so that to give back takes no memory
  writing_ = std::thread([this] { WriteOn(); });
  syncing_ = std::thread([this] { SyncOn(); });
}

OutcomeRecorder::~OutcomeRecorder() {
  while (writing_.joinable()) Finish(Seconds(3600));
}

bool OutcomeRecorder::AppendDatagrams(
    std::span<const std::string_view> datagrams) {
  std::unique_lock lock(mutex_);
  const auto has_room = [this] {
    return ending_ || inbox_.bytes < settings_.max_waiting_bytes;
  };
  if (!has_room()) {
    counters_.stalls.Increment();
    room_.wait(lock, has_room);
  }
  counters_.datagrams.Increment(static_cast<double>(datagrams.size()));
  if (ending_) {
    counters_.lost.Increment(static_cast<double>(datagrams.size()));
    return false;
  }
  const bool was_empty = inbox_.empty();
  const bool was_crowded = IsCrowded();
  size_t lost = datagrams.size();
  IsDone([&] {
    for (const std::string_view datagram : datagrams) {
      Block& block = BlockFor(datagram.size());
      block.sizes.push_back(datagram.size());
      block.bytes += datagram;  // has the room
      inbox_.bytes += datagram.size() + kKeeping;
      --lost;
    }
  });
  counters_.lost.Increment(static_cast<double>(lost));
  const bool wakes = was_empty || IsCrowded() != was_crowded;
  lock.unlock();
  if (wakes) came_.notify_one();
  return true;
}

// REQUIRES: mutex_ is held. No burst is awaited beyond that.
bool OutcomeRecorder::IsCrowded() const {
  return inbox_.bytes >= settings_.max_waiting_bytes / 2;
}

// REQUIRES: mutex_ is held.
OutcomeRecorder::Block& OutcomeRecorder::BlockFor(size_t bytes) {
  auto& blocks = inbox_.blocks;
  if (!blocks.empty() && blocks.back().sizes.size() < kBlockDatagrams &&
      blocks.back().bytes.size() + bytes <= kBlockBytes)
    return blocks.back();
  Block block;
  if (spare_.empty()) {
    block.bytes.reserve(kBlockBytes);
  } else {
    block = std::move(spare_.back());
    spare_.pop_back();
  }
  return blocks.emplace_back(std::move(block));
}

void OutcomeRecorder::Record(Outcome outcome) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_ || inbox_.outcome_bytes >= settings_.max_outcome_bytes)
      return counters_.lost.Increment();
    inbox_.outcome_bytes += MemoryOf(outcome);
    inbox_.outcomes.push_back(std::move(outcome));
  }
  came_.notify_one();
}

bool OutcomeRecorder::Finish(Seconds patience) {
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    came_.notify_one();
    room_.notify_all();
    if (!ended_.wait_for(lock, patience, [this] { return all_synced_; }))
      return false;
  }
  if (writing_.joinable()) writing_.join();
  if (syncing_.joinable()) syncing_.join();
  return true;
}

// --- The writing thread.

void OutcomeRecorder::WriteOn() {
  BlockSignals();
  // The receiver comes first: what it leaves in the kernel gets lost.
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kWriterNice);
  Inbox taken;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto has_come = [this] { return ending_ || !inbox_.empty(); };
    if (release_at_)
      came_.wait_for(lock, kReleaseLooks, has_come);
    else
      came_.wait(lock, has_come);
    const bool last = ending_ && inbox_.empty();
    if (!inbox_.empty()) AwaitLull(lock);
    std::swap(taken, inbox_);
    lock.unlock();
    room_.notify_all();
    const uint64_t settled_before = Settled();
    if (!IsDone([&] { TakeIn(taken, last); })) GiveUp(taken, settled_before);
    Recycle(taken);
    lock.lock();
    IsDone([this] { NoteUnsynced(writer_.file()); });
    written_.notify_one();
    if (last) break;
  }
  all_written_ = true;
  written_.notify_one();
}

// Where both share a core, what is written during a burst gets lost in front of
// the socket.
void OutcomeRecorder::AwaitLull(std::unique_lock<std::mutex>& lock) {
  const auto latest = steady_clock::now() + kLongestBurst;
  size_t before = 0;
  while (std::exchange(before, inbox_.bytes) != inbox_.bytes &&
         steady_clock::now() < latest)
    if (came_.wait_for(lock, kLull, [this] { return ending_ || IsCrowded(); }))
      break;
}

// What is given back is not freed while the receiver waits.
void OutcomeRecorder::Recycle(Inbox& inbox) {
  for (Block& block : inbox.blocks) {
    block.bytes.clear();
    block.sizes.clear();
  }
  {
    const std::lock_guard lock(mutex_);
    while (!inbox.blocks.empty() && spare_.size() < kMaxSpare) {
      spare_.push_back(std::move(inbox.blocks.back()));
      inbox.blocks.pop_back();
    }
  }
  inbox = {};
}

// REQUIRES: mutex_ is held. Yesterday's file may still be among them.
void OutcomeRecorder::NoteUnsynced(std::shared_ptr<const SpoolFile> file) {
  if (file && (unsynced_.empty() || unsynced_.back() != file))
    unsynced_.push_back(std::move(file));
}

// In the order of their coming; of the successes, equal ones together.
std::vector<OutcomeRecorder::Repeated> OutcomeRecorder::Count(
    const std::vector<Block>& blocks) {
  std::vector<Repeated> distinct;
  // Boost's own hash goes byte by byte.
  boost::unordered_flat_map<std::string_view, size_t,
                            std::hash<std::string_view>>
      places;
  size_t most = 0;
  for (const Block& block : blocks) most += block.sizes.size();
  places.reserve(most);
  for (const Block& block : blocks) {
    std::string_view rest = block.bytes;
    for (const size_t size : block.sizes) {
      const std::string_view datagram = rest.substr(0, size);
      rest.remove_prefix(size);
      if (!TellsOfSuccess(datagram)) {
        distinct.push_back({datagram, 1});
        continue;
      }
      size_t& place =
          places.try_emplace(datagram, distinct.size()).first->second;
      if (place < distinct.size() && distinct[place].times == kMaxRepeated)
        place = distinct.size();
      if (place == distinct.size()) distinct.push_back({datagram});
      ++distinct[place].times;
    }
  }
  return distinct;
}

// `last`: nothing comes any more.
void OutcomeRecorder::TakeIn(Inbox& inbox, bool last) {
  const WallTime now = times_.wall();
  // What is held is of the day whose file it comes into.
  if (DayOf(now) != DayOf(taken_at_)) Release();
  taken_at_ = now;
  for (const Repeated& one : Count(inbox.blocks)) {
    TakeIn(one, now);
    if (batch_.full()) Write(now);
    if (batch_.holds_much()) Release();
  }
  for (Outcome& outcome : inbox.outcomes) {
    counters_.Count(outcome.source, 1);
    outcome.at = now;  // of the day whose file it comes into
    batch_.Add(std::move(outcome));
    if (batch_.full()) Write(now);
    if (batch_.holds_much()) Release();
  }
  Write(now);
  if (last || (release_at_ && times_.boot() >= *release_at_)) Release();
  if (batch_.held() == 0)
    release_at_.reset();
  else if (!release_at_)
    release_at_ = times_.boot() + kHeldFor;
  counters_.held.Set(static_cast<double>(batch_.held()));
}

void OutcomeRecorder::Release() {
  if (batch_.held() == 0) return;
  batch_.Release();
  Write(taken_at_);
  release_at_.reset();
}

uint64_t OutcomeRecorder::Settled() const { return settled_ + batch_.held(); }

void OutcomeRecorder::TakeIn(const Repeated& one, WallTime now) {
  auto parsed = parser_.Parse(one.datagram, now);
  if (const auto* fault = std::get_if<DatagramFault>(&parsed))
    return Refuse(*fault, one);
  for (Outcome& outcome : std::get<std::span<Outcome>>(parsed)) {
    counters_.Count(outcome.source, one.times);
    batch_.Add(std::move(outcome), one.times);
  }
}

// What has not been settled since is lost. (A datagram counts as one.)
void OutcomeRecorder::GiveUp(const Inbox& inbox, uint64_t settled_before) {
  uint64_t all = inbox.outcomes.size();
  for (const Block& block : inbox.blocks) all += block.sizes.size();
  const uint64_t settled = Settled() - settled_before;
  counters_.lost.Increment(static_cast<double>(all - std::min(all, settled)));
  batch_.Clear();
}

void OutcomeRecorder::Refuse(DatagramFault fault, const Repeated& one) {
  settled_ += one.times;
  counters_.refused(fault).Increment(static_cast<double>(one.times));
  uint64_t suppressed = 0;
  if (refusal_log_.Allow(steady_clock::now(), &suppressed))
    Log(LogLevel::kWarn, "datagram_refused",
        {{"reason", DatagramFaultName(fault)},
         {"bytes", one.datagram.size()},
         {"begins", Printable(one.datagram, kShownBytes)},
         {"suppressed", suppressed},
         {"advice", "tlsrpt.listen is for Postfix's smtp_tlsrpt_socket_name"}});
}

void OutcomeRecorder::Write(WallTime now) {
  if (batch_.empty()) return;
  const OutcomeBatch::Lines& lines = batch_.Complete();
  const auto file = writer_.file();
  const auto appended = writer_.Append(now, lines.text);
  // A file that is not whole, or another one, lacks texts that were written.
  if (!appended.error.empty() || writer_.file() != file) batch_.ForgetTexts();
  if (writer_.file()) batch_.NoteDayBytes(writer_.bytes());
  const auto first_lost =
      lines.outcomes.begin() + static_cast<long>(appended.lines);
  const uint64_t written =
      std::accumulate(lines.outcomes.begin(), first_lost, uint64_t{0});
  const uint64_t lost =
      std::accumulate(first_lost, lines.outcomes.end(), uint64_t{0});
  counters_.lines.Increment(static_cast<double>(appended.lines));
  if (appended.error.empty())
    counters_.bytes.Increment(static_cast<double>(lines.text.size()));
  counters_.written.Increment(static_cast<double>(written));
  counters_.lost.Increment(static_cast<double>(lost));
  settled_ += written + lost;
  batch_.Clear();
  Report(appended.error, lost);
}

// One line when it begins, one a minute, one when it is over.
void OutcomeRecorder::Report(const std::string& error, uint64_t lost) {
  lost_ += lost;
  const bool failing = !error.empty();
  const bool changed = std::exchange(failing_, failing) != failing;
  if (changed) counters_.failing.Set(failing ? 1 : 0);
  uint64_t suppressed = 0;
  if (failing && failure_log_.Allow(steady_clock::now(), &suppressed)) {
    Log(LogLevel::kError, "spool_not_written",
        {{"reason", error},
         {"lost", lost_},
         {"effect", "outcomes are lost; mail is not affected"}});
  } else if (!failing && changed) {
    Log(LogLevel::kInfo, "spool_written_again", {{"lost", lost_}});
    lost_ = 0;
  }
}

// --- The syncing thread.

void OutcomeRecorder::SyncOn() {
  BlockSignals();
  std::unique_lock lock(mutex_);
  for (;;) {
    const bool last = all_written_;
    const auto files = std::exchange(unsynced_, {});
    lock.unlock();
    IsDone([&] {
      for (const auto& file : files) Sync(*file);
      Expire();
    });
    lock.lock();
    if (last) break;
    // A burst of writes costs one sync.
    written_.wait_for(lock, kSyncInterval, [this] { return all_written_; });
    written_.wait_for(lock, kExpiryLooks,
                      [this] { return all_written_ || !unsynced_.empty(); });
  }
  all_synced_ = true;
  ended_.notify_all();
}

void OutcomeRecorder::Sync(const SpoolFile& file) {
  const Status synced = file.Sync();
  if (std::exchange(sync_failing_, !synced) == !synced) return;
  if (!synced)
    Log(LogLevel::kError, "spool_not_synced",
        {{"reason", synced.error().message},
         {"effect", "a power loss may cost the last outcomes"}});
  else
    Log(LogLevel::kInfo, "spool_synced_again");
}

void OutcomeRecorder::Expire() {
  const auto removed = expiry_.Look(times_.boot(), times_.wall());
  for (const std::string& path : removed.files)
    Log(LogLevel::kInfo, "spool_day_removed", {{"file", path}});
  if (!removed.error.empty())
    Log(LogLevel::kWarn, "spool_day_not_removed", {{"reason", removed.error}});
}

}  // namespace postern
