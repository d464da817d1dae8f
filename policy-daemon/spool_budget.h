// SpoolBudget: how much of a day's spool is whose.
//
// Strangers decide how often something fails and what is said of it. So that
// none of them fills the disk, or takes the spool from others:
//
//   a kind of failure (domain,    20 lines of its own an hour; the rest is
//   policy, details)              counted
//   a policy's text               20 lines an hour; then its digest, as soon
//                                 as the text stands in the day's file
//   distinct details              1,000 a policy, 1,000,000 in all, a day; the
//                                 rest is counted without its details
//   an owner's bytes              1/256 of what is left of three quarters of
//                                 the day's; then sums alone are written
//
// The last quarter of a day's bytes is for sums. As an owner's share is one of
// what is left, no number of owners can take all: who comes late gets less.
//
// Contract: one thread. Days and hours are those of `outcome.at`. A few bytes
// a kind, a policy and an owner; bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/outcome.h"

#include "policy-daemon/outcome_fingerprint.h"

namespace postern {

class SpoolBudget {
 public:
  struct Limits {
    size_t details_per_policy = 1000;  // of one domain
    size_t details = 1000000;          // some 10 bytes each
    uint8_t lines_per_kind = 20;       // an hour
    uint8_t texts_per_policy = 20;     // an hour
    uint64_t day_bytes = uint64_t{1} << 30;
    size_t owners = 1000000;  // who is beyond has sums alone
    // Who pays for a domain; nullptr: itself.
    std::function<std::string(const std::string& domain)> owner_of{};
  };
  explicit SpoolBudget(Limits limits) : limits_(std::move(limits)) {}

  // Comes before the others, for each outcome.
  void Begin(WallTime at);

  // How many bytes the day's file has; otherwise what was spent.
  void NoteDayBytes(uint64_t bytes) { day_bytes_ = bytes; }

  // False: the owner's share is spent.
  bool HasRoom(const Outcome& outcome);
  void Spend(const Outcome& outcome, size_t bytes);

  struct Verdict {
    uint64_t own_lines = 0;  // so many of them may have a line of their own
    bool keeps_details = true;
  };
  // Of a failure that came so many times. `policy`: its fingerprint.
  Verdict Judge(const Outcome& outcome, const Fingerprint& policy,
                uint64_t times);

  // Whether the policy's text is to be written, or its digest. `again`: of
  // what was counted, which has the digest wherever possible.
  bool WritesText(const Fingerprint& policy, bool again);

  // The day's file is not what it was: no text stands in it.
  void ForgetTexts();

 private:
  using Hash = uint32_t;
  struct Policy {
    uint32_t details = 0;
    uint8_t hour = 0;  // of `texts`
    uint8_t texts = 0;
    bool is_written = false;
  };
  struct Kind {
    uint8_t hour = 0;
    uint8_t lines = 0;
  };

  size_t OwnerOf(const std::string& domain);
  uint64_t& SpentBy(const Outcome& outcome);

  Limits limits_;
  std::chrono::sys_days day_{};
  uint8_t hour_ = 0;
  uint64_t day_bytes_ = 0;
  boost::unordered_flat_map<size_t, Policy> policies_;
  boost::unordered_flat_map<Hash, Kind> kinds_;
  boost::unordered_flat_map<size_t, uint64_t> owners_;
  // By domains: to ask owner_of takes longer than all the rest.
  boost::unordered_flat_map<size_t, size_t> owner_of_;
  uint64_t nobodys_ = 0;  // of owners beyond the bound
};

}  // namespace postern
