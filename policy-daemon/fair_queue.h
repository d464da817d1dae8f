// FairQueue: items that wait for a worker, in bounded memory, whoever brings
// them.
//
// Each owner has a queue of its own, and one worker at a time, in turns: who
// brings much, or what takes long, keeps only itself waiting. Where the room is
// used up, the owner with the most waiting gives way, its newest item first.
//
// Contract: one thread. Adding costs the logarithm of the number of owners.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace postern {

template <class Item>
class FairQueue {
 public:
  explicit FairQueue(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Returns how many items were dropped, maybe this one.
  size_t Add(const std::string& owner, Item item, size_t bytes) {
    size_t dropped = 0;
    while (bytes_ + bytes > max_bytes_) {
      if (by_waiting_.empty()) return dropped + 1;
      const auto [most, fullest] = *by_waiting_.rbegin();  // a copy
      if (most <= WaitingOf(owner) + bytes) return dropped + 1;
      DropNewest(fullest);
      ++dropped;
    }
    Share& share = shares_[owner];
    if (!share.has_turn && !share.is_worked_on) GiveTurn(owner, share);
    share.items.emplace_back(std::move(item), bytes);
    bytes_ += bytes;
    ++items_;
    SetWaiting(owner, share, share.waiting + bytes);
    return dropped;
  }

  struct Taken {
    std::string owner;
    std::vector<Item> items;  // in the order of their coming
  };
  // All of the owner whose turn it is. They count until Done(owner).
  std::optional<Taken> Take() {
    if (turns_.empty()) return std::nullopt;
    Taken taken{std::move(turns_.front()), {}};
    turns_.pop_front();
    Share& share = shares_[taken.owner];
    for (auto& [item, bytes] : share.items)
      taken.items.push_back(std::move(item));
    share.items.clear();
    share.in_hand = share.waiting;
    share.items_in_hand = taken.items.size();
    share.is_worked_on = true;
    share.has_turn = false;
    SetWaiting(taken.owner, share, 0);
    return taken;
  }

  void Done(const std::string& owner) {
    const auto found = shares_.find(owner);
    Share& share = found->second;
    bytes_ -= share.in_hand;
    items_ -= share.items_in_hand;
    share.in_hand = share.items_in_hand = 0;
    share.is_worked_on = false;
    if (share.items.empty())
      shares_.erase(found);
    else
      GiveTurn(owner, share);
  }

  size_t items() const { return items_; }  // those in hand included
  bool has_turn() const { return !turns_.empty(); }

 private:
  struct Share {
    std::deque<std::pair<Item, size_t>> items;
    size_t waiting = 0;  // bytes
    size_t in_hand = 0;
    size_t items_in_hand = 0;
    bool is_worked_on = false;
    bool has_turn = false;
  };

  void GiveTurn(const std::string& owner, Share& share) {
    share.has_turn = true;
    turns_.push_back(owner);
  }

  size_t WaitingOf(const std::string& owner) const {
    const auto found = shares_.find(owner);
    return found == shares_.end() ? 0 : found->second.waiting;
  }
  void SetWaiting(const std::string& owner, Share& share, size_t waiting) {
    by_waiting_.erase({share.waiting, owner});
    share.waiting = waiting;
    if (waiting > 0) by_waiting_.emplace(waiting, owner);
  }
  // An owner that has none left keeps its turn, and brings nothing.
  void DropNewest(const std::string& owner) {
    Share& share = shares_[owner];
    const size_t bytes = share.items.back().second;
    share.items.pop_back();
    bytes_ -= bytes;
    --items_;
    SetWaiting(owner, share, share.waiting - bytes);
  }

  const size_t max_bytes_;
  size_t bytes_ = 0;
  size_t items_ = 0;
  std::map<std::string, Share> shares_;
  std::set<std::pair<size_t, std::string>> by_waiting_;
  std::deque<std::string> turns_;  // who has items and no worker
};

}  // namespace postern
