// Gate: at most `limit` holders for each key; the others wait their turn.
//
// Loop thread only. The gate outlives every wait and permit.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "common/awaitable.h"
#include "common/event.h"

namespace postern {

template <class Key>
class Gate {
 public:
  // Held while inside; leaving lets the longest waiter in.
  class Permit {
   public:
    Permit() = default;
    Permit(Gate* gate, Key key) : gate_(gate), key_(std::move(key)) {}
    Permit(Permit&& other) noexcept
        : gate_(std::exchange(other.gate_, nullptr)), key_(other.key_) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (gate_) gate_->Leave(key_);
    }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    Gate* gate_ = nullptr;
    Key key_{};
  };

  Gate(boost::asio::any_io_executor executor, Clock& clock, size_t limit)
      : executor_(std::move(executor)), clock_(clock), limit_(limit) {}

  // Lowering it sends nobody out.
  void SetLimit(size_t limit) {
    limit_ = limit;
    for (auto& [key, room] : rooms_)
      while (room.inside < limit_ && !room.waiting.empty()) {
        ++room.inside;
        LetIn(room);
      }
  }

  // An empty permit if the turn did not come before `deadline`.
  Awaitable<Permit> Enter(Key key, SteadyTime deadline) {
    Room& room = rooms_[key];
    if (room.inside < limit_) {
      ++room.inside;
      co_return Permit(this, key);
    }
    const auto turn = std::make_shared<Event>(executor_, clock_);
    room.waiting.push_back(turn);
    // The leaver hands its place over, so `inside` stays as it is.
    if (co_await turn->WaitUntil(deadline)) co_return Permit(this, key);
    // The place may have been handed over after the deadline had passed.
    if (turn->is_set()) co_return Permit(this, key);
    std::erase(rooms_[key].waiting, turn);
    co_return Permit();
  }

 private:
  struct Room {
    size_t inside = 0;
    std::deque<std::shared_ptr<Event>> waiting;
  };

  static void LetIn(Room& room) {
    const auto next = room.waiting.front();
    room.waiting.pop_front();
    next->Set();
  }

  void Leave(const Key& key) {
    const auto found = rooms_.find(key);
    Room& room = found->second;
    if (!room.waiting.empty() && room.inside <= limit_) {
      LetIn(room);
    } else if (--room.inside == 0) {
      rooms_.erase(found);
    }
  }

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  size_t limit_;
  std::map<Key, Room> rooms_;
};

}  // namespace postern
