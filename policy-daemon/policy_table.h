// PolicyTable: all remembered policies and failed fetches, in memory.
//
// It is the authority. The file behind it (policy_file.h) is written from it,
// and read once, at the start. It also is the agenda of the refreshes, decides
// who goes when it is full, and what the clock may delete.
//
// Who goes. Strangers can make us remember policies: they publish one, and
// make somebody write to them. When the table is full, first a policy goes that
// an even clock has seen expired, then one of mode none or testing, then one of
// mode enforce; of the last two kinds only those used on one day, and first of
// the registrable domain that takes most room, the oldest first. A policy that
// was used on two different days stays: then the newcomer is refused. One
// registrable domain has kMaxPoliciesOfOwner policies at most, and a quarter of
// the memory. Failed fetches
// without a policy have a bound of their own; the oldest go.
//
// What the clock may delete. An expired policy is ignored, not deleted, until
// an even clock (common/even_clock.h) has seen it expired on kExpiredDays
// different days: a clock that leaps takes nothing. A failure is only a hint,
// and goes when its day has passed.
//
// Pure: no disk, no loop; time is told to it. Contract: one thread at a time.
// Finding costs a hash; a change, the logarithm of the number of policies. A
// policy takes some 350 bytes, or what its text has more; max_bytes bounds the
// sum. A clock that was set back costs one look at all.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "common/even_clock.h"

#include "policy-daemon/policy_store.h"

namespace postern {

inline constexpr size_t kMaxPoliciesOfOwner = 1000;
// And one part in so many of Bounds::max_bytes.
inline constexpr size_t kOwnersShare = 4;
inline constexpr size_t kMaxFailedDomains = 100000;
inline constexpr int kExpiredDays = 7;

// What is to be written of a domain. Nothing in it: the domain is deleted.
struct PolicyRow {
  std::string domain;
  StsMemory memory;
};

class PolicyTable {
 public:
  struct Bounds {
    size_t max_policies = 1000000;
    size_t max_bytes = 128 << 20;
  };
  explicit PolicyTable(Bounds bounds);
  PolicyTable(const PolicyTable&) = delete;
  PolicyTable& operator=(const PolicyTable&) = delete;

  // What exceeds them goes by and by, as far as it may.
  void SetBounds(Bounds bounds);

  // To be called every second or so: looks at the clocks, and after the wall
  // clock was set back at what is due then.
  void Tick(BootTime boot, WallTime now);

  // --- As PolicyStore.

  StsMemory Find(std::string_view domain) const;
  // False: there is no room for it.
  bool PutPolicy(const std::string& domain, StoredPolicy policy, WallTime now);
  void PutFailure(const std::string& domain, FailedFetch failure);
  void NoteUse(std::string_view domain, WallTime used_at, WallTime check_at);
  void Schedule(std::string_view domain, WallTime fetched_at,
                WallTime check_at);
  void Forget(std::string_view domain);
  void NoteExpired(std::string_view domain, WallTime now);
  std::vector<std::string> Due(WallTime now, size_t limit);
  // Nothing is due before that.
  WallTime NextLook() const {
    return agenda_.empty() ? WallTime::max() : agenda_.front().at;
  }

  // --- The file.

  // A row of the file. It is taken beyond the bounds; what is known of the
  // domain already is newer. `is_written`: the file holds it as it is.
  void Load(const std::string& domain, StsMemory memory, bool is_written);
  // Takes over all that `loaded` holds and this one does not.
  void Merge(const PolicyTable& loaded);
  // Up to `limit` rows that changed since they were taken last.
  std::vector<PolicyRow> TakeChanges(size_t limit);
  // They could not be written: they are taken again, unless newer ones are.
  void GiveBack(const std::vector<PolicyRow>& rows);
  bool HasChanges() const { return !dirty_.empty() || !gone_.empty(); }
  // The file has been replaced by an empty one.
  void MarkAllChanged();
  // What was loaded came from a damaged file: it is looked at soon.
  void Distrust();
  // Somebody purged the domain, "" for all, at `at`. What was put later stays.
  void Purge(std::string_view domain, WallTime at, WallTime now);

  void ForEach(const std::function<void(std::string_view, const StsMemory&)>&
                   visit) const;

  size_t policies() const { return policies_; }
  size_t bytes() const { return bytes_; }
  bool is_empty() const { return names_.empty(); }
  // Policies that went for others since the last call.
  uint64_t TakeEvicted() { return std::exchange(evicted_, 0); }

 private:
  using Slot = uint32_t;
  static constexpr Slot kNone = UINT32_MAX;
  // What a policy takes besides its texts (tests/bench/policy_load.cc).
  static constexpr size_t kRowCost = 280;
  // Who goes first stands first. A row is in one list, or in none.
  enum List : uint8_t { kExpired, kWeak, kOneDay, kFailed, kKept };

  struct Row {
    // The domain, the id, the policy's text, one after the other: one
    // allocation.
    std::string bytes;
    std::unique_ptr<FailedFetch> failure;
    uint64_t owner = 0;
    WallTime fetched_at{};
    WallTime expires_at{};
    WallTime refetch_at{};
    WallTime check_at{};
    WallTime used_at{};
    WallTime put_at{};  // by this process; else WallTime{}
    Slot previous = kNone;
    Slot next = kNone;
    uint32_t expired_day = 0;
    uint16_t id_size = 0;
    uint8_t domain_size = 0;
    uint8_t days_used = 0;
    uint8_t expired_days = 0;
    StsMode mode = StsMode::kNone;
    List list = kKept;
    bool dirty = false;
    bool on_disk = false;  // a row of it may be in the file

    std::string_view domain() const {
      return std::string_view(bytes).substr(0, domain_size);
    }
    std::string_view text() const {
      return std::string_view(bytes).substr(domain_size + size_t{id_size});
    }
    bool has_policy() const {
      return bytes.size() > domain_size + size_t{id_size};
    }
    size_t cost() const;
  };
  // A list through the rows, the oldest first.
  struct Ends {
    Slot first = kNone;
    Slot last = kNone;
  };
  struct Owner {
    uint32_t policies = 0;
    size_t bytes = 0;
    Ends weak, one_day;
  };
  // A heap of owners by what they take, one a list. An entry whose bytes are
  // not the owner's any more is put right when it comes up.
  struct Rank {
    size_t bytes;
    uint64_t owner;
    bool operator<(const Rank& other) const { return bytes < other.bytes; }
  };
  // A heap of rows by when they are looked at. An entry whose time is not the
  // row's any more counts nothing.
  struct Look {
    WallTime at;
    Slot slot;
    bool operator<(const Look& other) const {
      return std::pair(at, slot) > std::pair(other.at, other.slot);
    }
  };
  struct HashName {
    using is_transparent = void;
    const PolicyTable* table;
    size_t operator()(std::string_view name) const;
    size_t operator()(Slot slot) const;
  };
  struct SameName {
    using is_transparent = void;
    const PolicyTable* table;
    std::string_view Name(std::string_view name) const { return name; }
    std::string_view Name(Slot slot) const;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return Name(a) == Name(b);
    }
  };

  Row* FindRow(std::string_view domain);
  const Row* FindRow(std::string_view domain) const;
  StsMemory MemoryOf(const Row& row) const;
  Slot AddRow(const std::string& domain);
  void SetPolicy(Slot slot, const StoredPolicy& policy);
  void DropPolicy(Slot slot);
  void RemoveRow(Slot slot);

  // Before and after whatever may change a row's list, owner or cost.
  void Uncount(Slot slot);
  void Count(Slot slot);
  List ListOf(const Row& row) const;
  Ends* EndsOf(List list, uint64_t owner);
  void RankOwner(uint64_t id);
  bool MakeRoom(size_t cost, List newcomer, uint64_t owner);
  bool EvictFrom(List list);
  Slot FirstExpired();
  Slot FirstOf(List list);
  std::vector<Rank>& RanksOf(List list) { return ranks_[list - kWeak]; }
  void Evict(Slot slot);

  void LookAt(Slot slot, WallTime at);
  WallTime LookOf(const Row& row) const;
  void MakeAgenda();
  void Rescan(WallTime now);
  void Change(Slot slot);

  Bounds bounds_;
  std::deque<Row> rows_;
  std::vector<Slot> free_;
  boost::unordered_flat_set<Slot, HashName, SameName> names_;
  boost::unordered_flat_map<uint64_t, Owner> owners_;
  Ends expired_, failed_;
  std::vector<Rank> ranks_[2];  // heaps: of weak ones, of those of one day
  std::vector<Look> agenda_;    // a heap
  size_t policies_ = 0;
  size_t failures_ = 0;  // rows without a policy
  size_t bytes_ = 0;     // of policies
  uint64_t evicted_ = 0;

  std::deque<Slot> dirty_;
  boost::unordered_flat_set<std::string> gone_;  // to be deleted from the file

  EvenClock clock_;
  bool even_ = false;
  WallTime now_{};                 // when it was told last
  std::optional<Seconds> offset_;  // the wall clock's, when looked at last
};

}  // namespace postern
