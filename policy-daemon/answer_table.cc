#include "policy-daemon/answer_table.h"

#include <optional>
#include <utility>

namespace postern {
namespace {

// The index entry at its load factor, and the allocator's share: so that
// `max_bytes` is what a million answers add to the process (tests/bench/run
// spread).
constexpr size_t kOverhead = 144;
// Answers asked for lately that one eviction passes over: where all of a
// million are, nobody waits for the hand to go round.
constexpr int kMaxSpared = 64;

}  // namespace

AnswerTable::AnswerTable(size_t max_entries, size_t max_bytes)
    : max_entries_(max_entries), max_bytes_(max_bytes) {}

AnswerTable::Found AnswerTable::Find(std::string_view key, Dialect dialect,
                                     SteadyTime now, bool dane_holds) {
  const auto found = index_.find(key);
  if (found == index_.end()) return {};
  Slot& slot = slots_[found->second];
  if (slot.expires <= now && !(dane_holds && IsDane(slot.kind))) return {};
  slot.asked = true;
  std::string_view text = slot.text;
  text.remove_prefix(slot.key_size);
  const std::string_view first = text.substr(0, slot.first_size);
  const std::string_view second = text.substr(slot.first_size);
  const bool plain = dialect == Dialect::kPolicy || second.empty();
  return {plain ? first : second, slot.kind, slot.policy};
}

void AnswerTable::Put(std::string_view key, const Replies& replies,
                      SteadyTime expires) {
  Drop(key);
  Slot slot;
  slot.expires = expires;
  slot.kind = replies.kind;
  slot.policy = replies.policy;
  slot.key_size = static_cast<uint32_t>(key.size());
  slot.first_size = static_cast<uint32_t>(replies.text[0].size());
  const bool same = replies.text[0] == replies.text[1];
  slot.text.reserve(key.size() + replies.text[0].size() +
                    (same ? 0 : replies.text[1].size()));
  slot.text.append(key).append(replies.text[0]);
  if (!same) slot.text.append(replies.text[1]);

  size_t needed = sizeof(Slot) + slot.text.size() + kOverhead;
  if (slot.policy) needed += BytesOf(*slot.policy);
  slot.charged = static_cast<uint32_t>(needed);
  if (needed > max_bytes_) return;
  // The newcomer takes the place of the last that goes: so the hand meets
  // answers in the order of their age.
  std::optional<SlotNumber> place;
  while (index_.size() >= max_entries_ || bytes_ + needed > max_bytes_) {
    if (place) CloseGap(*place);
    place = EvictOne();
  }
  if (!place) {
    place = static_cast<SlotNumber>(slots_.size());
    slots_.emplace_back();
  }
  bytes_ += needed;
  slots_[*place] = std::move(slot);
  Index(*place);
}

void AnswerTable::SetBounds(size_t max_entries, size_t max_bytes) {
  max_entries_ = max_entries;
  max_bytes_ = max_bytes;
  while (index_.size() > max_entries_ || bytes_ > max_bytes_)
    CloseGap(EvictOne());
}

void AnswerTable::Drop(std::string_view key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return;
  const SlotNumber number = found->second;
  Forget(number);
  CloseGap(number);
}

void AnswerTable::Clear() {
  index_.clear();
  slots_.clear();
  bytes_ = 0;
  hand_ = 0;
}

void AnswerTable::Index(SlotNumber number) {
  const Slot& slot = slots_[number];
  index_.emplace(std::string_view(slot.text).substr(0, slot.key_size), number);
}

void AnswerTable::Forget(SlotNumber number) {
  const Slot& slot = slots_[number];
  bytes_ -= slot.charged;
  index_.erase(std::string_view(slot.text).substr(0, slot.key_size));
}

void AnswerTable::CloseGap(SlotNumber number) {
  const auto last = static_cast<SlotNumber>(slots_.size() - 1);
  if (number != last) {
    // A short text moves with its slot, and the key with it.
    const Slot& from = slots_[last];
    index_.erase(std::string_view(from.text).substr(0, from.key_size));
    slots_[number] = std::move(slots_[last]);
    Index(number);
  }
  slots_.pop_back();
}

// REQUIRES: the table is not empty, and has no gap.
AnswerTable::SlotNumber AnswerTable::EvictOne() {
  for (int spared = 0;;) {
    if (hand_ >= slots_.size()) hand_ = 0;
    const SlotNumber number = hand_++;
    if (std::exchange(slots_[number].asked, false) && spared++ < kMaxSpared)
      continue;
    Forget(number);
    return number;
  }
}

}  // namespace postern
