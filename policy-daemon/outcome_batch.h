// OutcomeBatch: outcomes on their way into the spool, as lines.
//
// Successes of a domain under one policy become one line, however many
// sessions: the busier the socket, the shorter the spool. Failures of a kind
// are lines of their own at first, so that `tail -F` shows each as it happens;
// further ones are counted and held, to be one line when they are released,
// once a minute. What its owner's share (SpoolBudget) has no room for is held
// as a sum: without its policy's text and its details. Sessions stay exact.
//
// Contract: one thread. Memory is bounded if the batch is taken when it is
// full(), and what it holds is released when it holds_much().
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/outcome.h"

#include "policy-daemon/outcome_fingerprint.h"
#include "policy-daemon/spool_budget.h"

namespace postern {

// Outcomes of which those are one that are equal but for time and numbers.
class MergedOutcomes {
 public:
  struct Merged {
    Outcome outcome;
    uint64_t outcomes = 0;  // that it stands for
    Fingerprint policy;
  };

  // REQUIRES: the outcome's numbers stand for all of `outcomes`.
  void Add(const Outcome& outcome, uint64_t outcomes);
  std::span<Merged> items() { return std::span(merged_).first(count_); }
  void Clear();

  bool empty() const { return count_ == 0; }
  bool full() const;
  uint64_t outcomes() const { return outcomes_; }

 private:
  std::vector<Merged> merged_;  // beyond count_: memory for the next
  size_t count_ = 0;
  size_t bytes_ = 0;
  uint64_t outcomes_ = 0;
  // By hash: two that share one are not merged.
  boost::unordered_flat_map<size_t, size_t> places_;
};

class OutcomeBatch {
 public:
  explicit OutcomeBatch(SpoolBudget::Limits limits)
      : budget_(std::move(limits)) {}

  // So many times the same. What becomes of `outcome` is open.
  void Add(Outcome&& outcome, uint64_t times = 1);

  bool empty() const { return lines_.outcomes.empty() && merged_.empty(); }
  bool full() const;

  // Outcomes that are counted, and no line yet.
  uint64_t held() const { return held_.outcomes(); }
  bool holds_much() const { return held_.full(); }
  // They become lines of the batch.
  void Release();

  struct Lines {
    std::string text;
    std::vector<uint64_t> outcomes;  // how many each line holds
  };
  // All that is in the batch; it holds until Clear(), which comes next.
  const Lines& Complete();
  void Clear();

  // See there.
  void NoteDayBytes(uint64_t bytes) { budget_.NoteDayBytes(bytes); }
  void ForgetTexts() { budget_.ForgetTexts(); }

 private:
  void Write(Outcome& outcome, const Fingerprint& policy, uint64_t outcomes,
             bool again);
  void HoldSum(Outcome& outcome, uint64_t outcomes);

  SpoolBudget budget_;
  Lines lines_;
  MergedOutcomes merged_;
  MergedOutcomes held_;
};

}  // namespace postern
