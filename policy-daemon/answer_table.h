// AnswerTable: replies ready to write, by key and dialect.
//
// Why: Postfix asks once a message and MX host, and smtp(8) does nothing else
// meanwhile. Losing an entry costs a lookup, never a policy: what must not be
// forgotten lives in PolicyStore.
//
// Contract: loop thread only. Bounded by entries and bytes; past a bound the
// clock algorithm evicts what was not asked for since its hand came by (or, in
// bounded time, something that was). A
// view that Find() returns holds until the next Put() or Drop().
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/clock.h"

#include "policy-daemon/answered_policy.h"
#include "policy-daemon/postfix_reply.h"

namespace postern {

// What is counted of an answer.
enum class ReplyKind : uint8_t {
  kSecure,
  kDaneOnly,
  kDane,
  kNotFound,
  kOverride,  // the administrator's own word
  // TEMP, by its reason:
  kTempMxLookup,
  kTempDaneUnknown,
  kTempSlowPolicyFile,
  kTempTooManyLookups,
};
inline constexpr size_t kReplyKinds = 9;

inline bool IsDane(ReplyKind kind) {
  return kind == ReplyKind::kDane || kind == ReplyKind::kDaneOnly;
}

// One reply for each dialect, as netstrings.
struct Replies {
  std::array<std::string, kDialects> text;
  ReplyKind kind = ReplyKind::kNotFound;  // of the plain dialect
  AnsweredPolicyPtr policy{};  // that it stands for; null: nobody will ask
};

class AnswerTable {
 public:
  AnswerTable(size_t max_entries, size_t max_bytes);

  struct Found {
    std::string_view text;  // the netstring; empty: none that still holds
    ReplyKind kind = ReplyKind::kNotFound;
    AnsweredPolicyPtr policy;
  };
  // `dane_holds`: also what has expired, where it is `dane` or `dane-only`.
  Found Find(std::string_view key, Dialect dialect, SteadyTime now,
             bool dane_holds = false);

  void Put(std::string_view key, const Replies& replies, SteadyTime expires);

  // Evicts what is beyond the new bounds.
  void SetBounds(size_t max_entries, size_t max_bytes);
  void Drop(std::string_view key);
  void Clear();

  size_t size() const { return index_.size(); }
  size_t slots() const { return slots_.size(); }  // what the hand passes
  size_t bytes() const { return bytes_; }         // an estimate with overheads

 private:
  // One allocation holds the key and both replies, so that an answer touches
  // few cache lines: key, then reply 0, then reply 1 (absent where equal).
  struct Slot {
    SteadyTime expires{};
    std::string text;
    AnsweredPolicyPtr policy;
    uint32_t key_size = 0;
    uint32_t first_size = 0;
    uint32_t charged = 0;  // of bytes_
    ReplyKind kind = ReplyKind::kNotFound;
    bool asked = false;
  };
  using SlotNumber = uint32_t;

  void Index(SlotNumber number);
  // Out of the index and bytes_; its place is a gap.
  void Forget(SlotNumber number);
  // The last slot moves there.
  void CloseGap(SlotNumber number);
  // Returns the gap.
  SlotNumber EvictOne();

  size_t max_entries_;
  size_t max_bytes_;
  size_t bytes_ = 0;
  // Stable addresses: the index's keys are views into the slots' text. Without
  // gaps: an eviction looks at no more than it may spare.
  std::deque<Slot> slots_;
  SlotNumber hand_ = 0;
  boost::unordered_flat_map<std::string_view, SlotNumber> index_;
};

}  // namespace postern
