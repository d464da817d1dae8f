// OutcomeBatch: outcomes on their way into the spool, as lines.
//
// Successes of a domain under one policy become one line, however many
// sessions: the busier the socket, the shorter the spool. A failure is a line
// of its own, so that `tail -F` shows each as it happens. Of distinct failure
// details, each domain and policy has so many a day (DetailBounds); what comes
// beyond is merged without its details: the counts stay exact.
//
// Contract: one thread. Memory is bounded if the batch is taken when it is
// full().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "common/outcome.h"

namespace postern {

// Which failure details of a day are kept: who can send datagrams, or answer
// EHLO, could make up one for each session.
class DetailBounds {
 public:
  struct Limits {
    size_t per_policy = 1000;  // of one domain
    size_t overall = 1000000;  // some 5 bytes each
  };
  explicit DetailBounds(Limits limits) : limits_(limits) {}

  // False: there are too many others today. Days are those of `outcome.at`.
  bool Admit(const Outcome& outcome);

 private:
  Limits limits_;
  std::chrono::sys_days day_{};
  // By hash: two that share one are told apart tomorrow. Short ones: most of
  // what Admit() takes is waiting for the memory that they are in.
  using Hash = uint32_t;
  boost::unordered_flat_map<Hash, uint32_t> details_of_;  // of policies
  boost::unordered_flat_set<Hash> known_;
};

class OutcomeBatch {
 public:
  explicit OutcomeBatch(DetailBounds::Limits limits) : bounds_(limits) {}

  // So many times the same. What becomes of `outcome` is open.
  void Add(Outcome&& outcome, uint64_t times = 1);

  bool empty() const { return lines_.outcomes.empty() && merged_count_ == 0; }
  bool full() const;

  struct Lines {
    std::string text;
    std::vector<uint64_t> outcomes;  // how many each line holds
  };
  // All that is in the batch; it holds until Clear(), which comes next.
  const Lines& Complete();
  void Clear();

 private:
  struct Merged {
    Outcome outcome;
    uint64_t outcomes = 0;
  };

  std::span<Merged> merged() { return std::span(merged_).first(merged_count_); }

  DetailBounds bounds_;
  Lines lines_;
  std::vector<Merged> merged_;
  size_t merged_count_ = 0;
  size_t merged_bytes_ = 0;
  // By hash: two that share one are not merged.
  boost::unordered_flat_map<size_t, size_t> places_;
};

}  // namespace postern
