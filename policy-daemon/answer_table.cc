#include "policy-daemon/answer_table.h"

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
                                     SteadyTime now) {
  const auto found = index_.find(key);
  if (found == index_.end()) return {};
  Slot& slot = slots_[found->second];
  if (slot.expires <= now) return {};
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
  while (index_.size() >= max_entries_ || bytes_ + needed > max_bytes_)
    EvictOne();

  SlotNumber number = 0;
  if (free_.empty()) {
    number = static_cast<SlotNumber>(slots_.size());
    slots_.push_back(std::move(slot));
  } else {
    number = free_.back();
    free_.pop_back();
    slots_[number] = std::move(slot);
  }
  bytes_ += needed;
  const Slot& stored = slots_[number];
  index_.emplace(std::string_view(stored.text).substr(0, stored.key_size),
                 number);
}

void AnswerTable::SetBounds(size_t max_entries, size_t max_bytes) {
  max_entries_ = max_entries;
  max_bytes_ = max_bytes;
  while (index_.size() > max_entries_ || bytes_ > max_bytes_) EvictOne();
}

void AnswerTable::Drop(std::string_view key) {
  if (const auto found = index_.find(key); found != index_.end())
    Free(found->second);
}

void AnswerTable::Clear() {
  index_.clear();
  slots_.clear();
  free_.clear();
  bytes_ = 0;
  hand_ = 0;
}

void AnswerTable::Free(SlotNumber number) {
  Slot& slot = slots_[number];
  bytes_ -= slot.charged;
  index_.erase(std::string_view(slot.text).substr(0, slot.key_size));
  slot = Slot{};
  free_.push_back(number);
}

// REQUIRES: the table is not empty.
void AnswerTable::EvictOne() {
  for (int spared = 0;;) {
    const SlotNumber number = hand_;
    // Past this one in any case: what comes to stand here is young.
    hand_ = (hand_ + 1) % static_cast<SlotNumber>(slots_.size());
    Slot& slot = slots_[number];
    if (slot.key_size == 0) continue;  // free
    if (!std::exchange(slot.asked, false) || spared++ >= kMaxSpared)
      return Free(number);
  }
}

}  // namespace postern
