#include "policy-daemon/policy_table.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "common/public_suffix.h"

namespace postern {
namespace {

using std::chrono::days;

// No policy in use is looked at later than that.
constexpr Seconds kLongestPause{3600};
// While the clock is not even, and the policy expired by it.
constexpr Seconds kLookAgain{600};
constexpr Seconds kSetBack{2};
// The agenda holds entries that count no more; beyond so many it is made anew.
constexpr size_t kStaleLooks = 1000;

uint32_t DayOf(WallTime time) {
  return static_cast<uint32_t>(
      std::chrono::floor<days>(time).time_since_epoch().count());
}

// A hash that strangers cannot foresee: they choose the names.
uint64_t Hash(std::string_view text) {
  static const auto keys = [] {
    std::random_device random;
    const auto key = [&] { return (uint64_t{random()} << 32 | random()) | 1; };
    return std::pair(key(), key());
  }();
  const auto mix = [](uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^
           static_cast<uint64_t>(product >> 64);
  };
  uint64_t hash = keys.first ^ text.size();
  while (!text.empty()) {
    uint64_t word = 0;
    const size_t size = std::min(text.size(), sizeof word);
    std::memcpy(&word, text.data(), size);
    text.remove_prefix(size);
    hash = mix(hash ^ word, keys.second);
  }
  return mix(hash ^ keys.second, keys.first);
}

}  // namespace

size_t PolicyTable::HashName::operator()(std::string_view name) const {
  return Hash(name);
}
size_t PolicyTable::HashName::operator()(Slot slot) const {
  return Hash(table->rows_[slot].domain());
}
std::string_view PolicyTable::SameName::Name(Slot slot) const {
  return table->rows_[slot].domain();
}

PolicyTable::PolicyTable(Bounds bounds)
    : bounds_(bounds), names_(0, HashName{this}, SameName{this}) {}

void PolicyTable::Tick(BootTime boot, WallTime now) {
  even_ = clock_.IsEven(boot, now);
  const Seconds offset =
      now.time_since_epoch() - std::chrono::floor<Seconds>(boot);
  const bool set_back = !offset_ || offset < *offset_ - kSetBack;
  offset_ = offset;
  now_ = now;
  if (set_back) Rescan(now);
}

// --- As PolicyStore.

PolicyTable::Row* PolicyTable::FindRow(std::string_view domain) {
  const auto found = names_.find(domain);
  return found == names_.end() ? nullptr : &rows_[*found];
}

const PolicyTable::Row* PolicyTable::FindRow(std::string_view domain) const {
  const auto found = names_.find(domain);
  return found == names_.end() ? nullptr : &rows_[*found];
}

StsMemory PolicyTable::Find(std::string_view domain) const {
  const Row* row = FindRow(domain);
  return row ? MemoryOf(*row) : StsMemory{};
}

StsMemory PolicyTable::MemoryOf(const Row& row) const {
  StsMemory memory;
  if (row.has_policy()) {
    StoredPolicy stored;
    // It was written by StsPolicyText().
    stored.policy =
        std::make_shared<const StsPolicy>(*ParseStsPolicy(row.text()));
    stored.id = row.bytes.substr(row.domain_size, row.id_size);
    stored.fetched_at = row.fetched_at;
    stored.expires_at = row.expires_at;
    stored.refetch_at = row.refetch_at;
    stored.check_at = row.check_at;
    stored.used_at = row.used_at;
    stored.days_used = row.days_used;
    stored.expired_days = row.expired_days;
    stored.expired_day = row.expired_day;
    memory.policy = std::move(stored);
  }
  if (row.failure) memory.failure = *row.failure;
  return memory;
}

bool PolicyTable::PutPolicy(const std::string& domain, StoredPolicy policy,
                            WallTime now) {
  now_ = now;
  const auto found = names_.find(domain);
  const Row* before = found == names_.end() ? nullptr : &rows_[*found];
  const bool had_policy = before && before->has_policy();
  policy.days_used = had_policy ? before->days_used : 1;
  if (policy.used_at == WallTime{})
    policy.used_at = had_policy ? before->used_at : now;
  else if (had_policy && DayOf(policy.used_at) != DayOf(before->used_at))
    policy.days_used = std::min(policy.days_used + 1, 2);
  policy.expired_days = 0;
  const size_t cost = kRowCost + domain.size() + policy.id.size() +
                      StsPolicyText(*policy.policy).size();
  const List list = had_policy || policy.days_used > 1         ? kKept
                    : policy.policy->mode == StsMode::kEnforce ? kOneDay
                                                               : kWeak;
  const bool is_new = !before;
  const Slot slot = is_new ? AddRow(domain) : *found;
  const size_t cost_before = had_policy ? rows_[slot].cost() : 0;
  // It must not push itself out.
  Uncount(slot);
  const bool fits =
      cost <= cost_before ? true : MakeRoom(cost, list, rows_[slot].owner);
  if (!fits) {
    Count(slot);
    // (A failed fetch, too: it has not failed this time.)
    if (!had_policy) RemoveRow(slot);
    return false;
  }
  rows_[slot].failure.reset();
  SetPolicy(slot, policy);
  rows_[slot].put_at = now;
  Count(slot);
  LookAt(slot, policy.check_at);
  Change(slot);
  return true;
}

void PolicyTable::PutFailure(const std::string& domain, FailedFetch failure) {
  const auto found = names_.find(domain);
  const bool is_new = found == names_.end();
  const Slot slot = is_new ? AddRow(domain) : *found;
  Row& row = rows_[slot];
  row.failure = std::make_unique<FailedFetch>(std::move(failure));
  // The oldest failures stand first.
  if (!row.has_policy()) {
    Uncount(slot);
    Count(slot);
    LookAt(slot, LookOf(row));
  }
  Change(slot);
  while (failures_ > kMaxFailedDomains) RemoveRow(failed_.first);
}

void PolicyTable::NoteUse(std::string_view domain, WallTime used_at,
                          WallTime check_at) {
  const auto found = names_.find(domain);
  if (found == names_.end() || !rows_[*found].has_policy()) return;
  const Slot slot = *found;
  Row& row = rows_[slot];
  if (DayOf(used_at) != DayOf(row.used_at) && row.days_used < 2) {
    Uncount(slot);
    ++row.days_used;
    Count(slot);
  }
  row.used_at = used_at;
  row.check_at = check_at;
  LookAt(slot, check_at);
  Change(slot);
}

void PolicyTable::Schedule(std::string_view domain, WallTime fetched_at,
                           WallTime check_at) {
  const auto found = names_.find(domain);
  if (found == names_.end()) return;
  Row& row = rows_[*found];
  if (!row.has_policy() || row.fetched_at != fetched_at) return;
  row.check_at = check_at;
  LookAt(*found, check_at);
  Change(*found);
}

void PolicyTable::Forget(std::string_view domain) {
  if (const auto found = names_.find(domain); found != names_.end())
    RemoveRow(*found);
}

void PolicyTable::NoteExpired(std::string_view domain, WallTime now) {
  const auto found = names_.find(domain);
  if (found == names_.end() || !rows_[*found].has_policy()) return;
  const Slot slot = *found;
  Row& row = rows_[slot];
  if (now < row.expires_at) return;
  row.check_at = now + kLookAgain;
  const uint32_t today = DayOf(now);
  if (even_) {
    row.check_at = std::chrono::floor<days>(now) + days(1);
    if (row.expired_days == 0 || row.expired_day != today) {
      Uncount(slot);
      row.expired_day = today;
      ++row.expired_days;
      Count(slot);
      Change(slot);
    }
    if (row.expired_days >= kExpiredDays) return DropPolicy(slot);
  }
  LookAt(slot, row.check_at);
}

std::vector<std::string> PolicyTable::Due(WallTime now, size_t limit) {
  std::vector<std::string> domains;
  std::vector<Look> due;
  // Failures that lapse go here, and keep no policy waiting.
  for (size_t looks = limit * 10; looks > 0 && domains.size() < limit;
       --looks) {
    if (agenda_.empty() || agenda_.front().at > now) break;
    std::pop_heap(agenda_.begin(), agenda_.end());
    const Look look = agenda_.back();
    agenda_.pop_back();
    const Row& row = rows_[look.slot];
    const bool again = !due.empty() && due.back().slot == look.slot;
    if (row.bytes.empty() || LookOf(row) != look.at || again) continue;
    if (row.has_policy()) {
      domains.emplace_back(row.domain());
      due.push_back(look);
    } else {
      RemoveRow(look.slot);
    }
  }
  // They are due until they are scheduled anew.
  for (const Look& look : due) {
    agenda_.push_back(look);
    std::push_heap(agenda_.begin(), agenda_.end());
  }
  return domains;
}

// --- The file.

void PolicyTable::Load(const std::string& domain, StsMemory memory,
                       bool is_written) {
  if (memory.policy && memory.policy->id.size() > UINT16_MAX) return;
  const auto found = names_.find(domain);
  const bool is_new = found == names_.end();
  if (!is_new && (rows_[*found].has_policy() || !memory.policy)) return;
  const Slot slot = is_new ? AddRow(domain) : *found;
  Uncount(slot);
  if (memory.policy) SetPolicy(slot, *memory.policy);
  Row& row = rows_[slot];
  if (memory.failure && !row.failure)
    row.failure = std::make_unique<FailedFetch>(std::move(*memory.failure));
  Count(slot);
  LookAt(slot, LookOf(row));
  if (is_written && is_new) {
    row.on_disk = true;
  } else {
    Change(slot);
  }
}

void PolicyTable::Merge(const PolicyTable& loaded) {
  for (const Row& row : loaded.rows_) {
    if (row.bytes.empty()) continue;
    Load(std::string(row.domain()), loaded.MemoryOf(row), !row.dirty);
  }
  // What they know is due now, if the clock was set back meanwhile.
  offset_.reset();
}

std::vector<PolicyRow> PolicyTable::TakeChanges(size_t limit) {
  std::vector<PolicyRow> rows;
  while (!gone_.empty() && rows.size() < limit) {
    rows.push_back({*gone_.begin(), {}});
    gone_.erase(gone_.begin());
  }
  while (!dirty_.empty() && rows.size() < limit) {
    Row& row = rows_[dirty_.front()];
    dirty_.pop_front();
    if (!std::exchange(row.dirty, false)) continue;
    row.on_disk = true;
    rows.push_back({std::string(row.domain()), MemoryOf(row)});
  }
  return rows;
}

void PolicyTable::GiveBack(const std::vector<PolicyRow>& rows) {
  for (const PolicyRow& changed : rows) {
    const bool deleted = !changed.memory.policy && !changed.memory.failure;
    if (const auto found = names_.find(std::string_view(changed.domain));
        found != names_.end())
      Change(*found);
    else if (deleted)
      gone_.insert(changed.domain);
  }
}

void PolicyTable::MarkAllChanged() {
  gone_.clear();
  for (Slot slot = 0; slot < rows_.size(); ++slot) {
    if (rows_[slot].bytes.empty()) continue;
    rows_[slot].on_disk = false;
    Change(slot);
  }
}

void PolicyTable::Distrust() {
  for (Row& row : rows_) row.check_at = row.refetch_at = WallTime{};
  MakeAgenda();
}

void PolicyTable::Purge(std::string_view domain, WallTime at, WallTime now) {
  const auto purge = [&](Slot slot) {
    Row& row = rows_[slot];
    const WallTime put =
        row.has_policy() || !row.failure ? row.put_at : row.failure->last_at;
    // The purge took it from the file, or that may be so.
    if (put > at && put <= now) return Change(slot);
    RemoveRow(slot);
  };
  if (!domain.empty()) {
    if (const auto found = names_.find(domain); found != names_.end())
      purge(*found);
    return;
  }
  for (Slot slot = 0; slot < rows_.size(); ++slot)
    if (!rows_[slot].bytes.empty()) purge(slot);
}

// --- Rows.

PolicyTable::Slot PolicyTable::AddRow(const std::string& domain) {
  Slot slot = 0;
  if (free_.empty()) {
    slot = static_cast<Slot>(rows_.size());
    rows_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Row& row = rows_[slot];
  row.bytes = domain;
  row.bytes.shrink_to_fit();
  row.domain_size = static_cast<uint8_t>(domain.size());
  row.owner = Hash(RegistrableDomain(domain));
  row.on_disk = !gone_.empty() && gone_.erase(domain) > 0;
  names_.insert(slot);
  return slot;
}

// The row is not counted.
void PolicyTable::SetPolicy(Slot slot, const StoredPolicy& policy) {
  Row& row = rows_[slot];
  const std::string text = StsPolicyText(*policy.policy);
  std::string bytes;
  bytes.reserve(row.domain_size + policy.id.size() + text.size());
  bytes.append(row.domain()).append(policy.id).append(text);
  // What is compared with the name in names_ stays the same.
  row.bytes = std::move(bytes);
  row.id_size = static_cast<uint16_t>(policy.id.size());
  row.mode = policy.policy->mode;
  row.fetched_at = policy.fetched_at;
  row.expires_at = policy.expires_at;
  row.refetch_at = policy.refetch_at;
  row.check_at = policy.check_at;
  row.used_at = policy.used_at;
  row.days_used = static_cast<uint8_t>(std::clamp(policy.days_used, 1, 2));
  row.expired_days =
      static_cast<uint8_t>(std::clamp(policy.expired_days, 0, kExpiredDays));
  row.expired_day = static_cast<uint32_t>(policy.expired_day);
}

// A failure that counts still stays.
void PolicyTable::DropPolicy(Slot slot) {
  if (!rows_[slot].failure) return RemoveRow(slot);
  Uncount(slot);
  Row& row = rows_[slot];
  row.bytes.resize(row.domain_size);
  row.bytes.shrink_to_fit();
  row.id_size = 0;
  row.days_used = row.expired_days = 0;
  Count(slot);
  LookAt(slot, LookOf(row));
  Change(slot);
}

void PolicyTable::RemoveRow(Slot slot) {
  Uncount(slot);
  Row& row = rows_[slot];
  names_.erase(slot);
  if (row.on_disk) gone_.insert(std::string(row.domain()));
  row = Row();
  free_.push_back(slot);
}

void PolicyTable::Change(Slot slot) {
  if (!std::exchange(rows_[slot].dirty, true)) dirty_.push_back(slot);
}

// --- The agenda.

WallTime PolicyTable::LookOf(const Row& row) const {
  if (row.has_policy()) return row.check_at;
  return row.failure ? row.failure->first_at + kFailureMemory : WallTime::max();
}

void PolicyTable::LookAt(Slot slot, WallTime at) {
  // The first Tick() makes the whole agenda.
  if (!offset_) return;
  agenda_.push_back({at, slot});
  std::push_heap(agenda_.begin(), agenda_.end());
  if (agenda_.size() > 2 * names_.size() + kStaleLooks) MakeAgenda();
}

void PolicyTable::MakeAgenda() {
  agenda_.clear();
  for (const Slot slot : names_) agenda_.push_back({LookOf(rows_[slot]), slot});
  std::make_heap(agenda_.begin(), agenda_.end());
}

// What was scheduled by a clock ahead of this one would wait for it.
void PolicyTable::Rescan(WallTime now) {
  for (Slot slot = 0; slot < rows_.size(); ++slot) {
    Row& row = rows_[slot];
    if (row.bytes.empty()) continue;
    if (row.failure && !Counts(*row.failure, now)) {
      if (!row.has_policy()) {
        RemoveRow(slot);
        continue;
      }
      row.failure.reset();
      Change(slot);
    }
    if (!row.has_policy()) continue;
    const bool idle = row.used_at <= now && now - row.used_at >= kIdleAfter;
    const Seconds pause =
        row.expires_at <= now ? Seconds(days(1)) : kLongestPause;
    if (row.fetched_at > now || (!idle && row.check_at > now + pause))
      row.check_at = now;
    else
      row.check_at = std::min(row.check_at, std::max(now, row.expires_at));
  }
  MakeAgenda();
}

void PolicyTable::ForEach(
    const std::function<void(std::string_view, const StsMemory&)>& visit)
    const {
  for (const Row& row : rows_)
    if (!row.bytes.empty()) visit(row.domain(), MemoryOf(row));
}

}  // namespace postern
