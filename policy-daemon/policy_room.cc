// PolicyTable: who goes when there is no room (policy_table.h says the order).
#include <algorithm>

#include "policy-daemon/policy_table.h"

namespace postern {
namespace {

// How many policies one newcomer, or new bounds, may push out at once.
constexpr int kEvictedForOne = 64;
constexpr int kEvictedForBounds = 10000;
// A heap holds entries that count no more; beyond so many it is made anew.
constexpr size_t kStaleRanks = 1000;

}  // namespace

size_t PolicyTable::Row::cost() const { return kRowCost + bytes.size(); }

void PolicyTable::SetBounds(Bounds bounds) {
  bounds_ = bounds;
  for (int i = 0; i < kEvictedForBounds && (policies_ > bounds_.max_policies ||
                                            bytes_ > bounds_.max_bytes);
       ++i)
    if (!EvictFrom(kExpired) && !EvictFrom(kWeak) && !EvictFrom(kOneDay))
      return;
}

PolicyTable::List PolicyTable::ListOf(const Row& row) const {
  if (!row.has_policy()) return row.failure ? kFailed : kKept;
  if (row.expired_days > 0) return kExpired;
  if (row.days_used > 1) return kKept;
  return row.mode == StsMode::kEnforce ? kOneDay : kWeak;
}

PolicyTable::Ends* PolicyTable::EndsOf(List list, uint64_t owner) {
  switch (list) {
    case kExpired:
      return &expired_;
    case kFailed:
      return &failed_;
    case kWeak:
      return &owners_[owner].weak;
    case kOneDay:
      return &owners_[owner].one_day;
    case kKept:
      return nullptr;
  }
  return nullptr;
}

void PolicyTable::Count(Slot slot) {
  Row& row = rows_[slot];
  row.list = ListOf(row);
  if (row.list == kFailed) ++failures_;
  if (row.has_policy()) {
    ++policies_;
    bytes_ += row.cost();
    Owner& owner = owners_[row.owner];
    ++owner.policies;
    owner.bytes += row.cost();
  }
  if (Ends* ends = EndsOf(row.list, row.owner)) {
    row.previous = ends->last;
    row.next = kNone;
    (ends->last == kNone ? ends->first : rows_[ends->last].next) = slot;
    ends->last = slot;
  }
  if (row.has_policy()) RankOwner(row.owner);
}

void PolicyTable::Uncount(Slot slot) {
  Row& row = rows_[slot];
  if (row.list == kFailed) --failures_;
  if (Ends* ends = EndsOf(row.list, row.owner)) {
    (row.previous == kNone ? ends->first : rows_[row.previous].next) = row.next;
    (row.next == kNone ? ends->last : rows_[row.next].previous) = row.previous;
  }
  row.list = kKept;
  if (!row.has_policy()) return;
  --policies_;
  bytes_ -= row.cost();
  Owner& owner = owners_[row.owner];
  owner.bytes -= row.cost();
  if (--owner.policies == 0) owners_.erase(row.owner);
}

// The owner may have become the fullest.
void PolicyTable::RankOwner(uint64_t id) {
  const Owner& owner = owners_[id];
  for (const List list : {kWeak, kOneDay}) {
    if ((list == kWeak ? owner.weak : owner.one_day).first == kNone) continue;
    std::vector<Rank>& ranks = RanksOf(list);
    ranks.push_back({owner.bytes, id});
    std::push_heap(ranks.begin(), ranks.end());
    if (ranks.size() <= 2 * owners_.size() + kStaleRanks) continue;
    ranks.clear();
    for (const auto& [other, what] : owners_)
      if ((list == kWeak ? what.weak : what.one_day).first != kNone)
        ranks.push_back({what.bytes, other});
    std::make_heap(ranks.begin(), ranks.end());
  }
}

bool PolicyTable::MakeRoom(size_t cost, List newcomer, uint64_t owner) {
  for (int i = 0; i < kEvictedForOne; ++i) {
    const auto found = owners_.find(owner);
    if (found != owners_.end() &&
        (found->second.policies >= kMaxPoliciesOfOwner ||
         found->second.bytes + cost > bounds_.max_bytes / kOwnersShare)) {
      // Its own affair.
      Slot victim = found->second.weak.first;
      if (victim == kNone && newcomer >= kOneDay)
        victim = found->second.one_day.first;
      if (victim == kNone) return false;
      Evict(victim);
      continue;
    }
    if (policies_ < bounds_.max_policies && bytes_ + cost <= bounds_.max_bytes)
      return true;
    if (cost > bounds_.max_bytes) return false;
    if (!EvictFrom(kExpired) && !EvictFrom(kWeak) &&
        !(newcomer >= kOneDay && EvictFrom(kOneDay)))
      return false;
  }
  return false;
}

bool PolicyTable::EvictFrom(List list) {
  const Slot victim = list == kExpired ? FirstExpired() : FirstOf(list);
  if (victim == kNone) return false;
  Evict(victim);
  return true;
}

void PolicyTable::Evict(Slot slot) {
  ++evicted_;
  DropPolicy(slot);
}

// Expired by an earlier clock does not count where it holds by this one.
PolicyTable::Slot PolicyTable::FirstExpired() {
  while (expired_.first != kNone) {
    const Slot slot = expired_.first;
    if (rows_[slot].expires_at <= now_) return slot;
    Uncount(slot);
    rows_[slot].expired_days = 0;
    Count(slot);
    Change(slot);
  }
  return kNone;
}

// The oldest one of the fullest owner.
PolicyTable::Slot PolicyTable::FirstOf(List list) {
  std::vector<Rank>& ranks = RanksOf(list);
  while (!ranks.empty()) {
    const Rank top = ranks.front();
    const auto found = owners_.find(top.owner);
    const Slot first = found == owners_.end() ? kNone
                       : list == kWeak        ? found->second.weak.first
                                              : found->second.one_day.first;
    if (first != kNone && found->second.bytes == top.bytes) return first;
    std::pop_heap(ranks.begin(), ranks.end());
    ranks.pop_back();
    if (first == kNone) continue;
    ranks.push_back({found->second.bytes, top.owner});
    std::push_heap(ranks.begin(), ranks.end());
  }
  return kNone;
}

}  // namespace postern
