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
    size_t overall = 1000000;  // some 10 bytes each
  };
  explicit DetailBounds(Limits limits) : limits_(limits) {}

  // False: there are too many others today. Days are those of `outcome.at`.
  bool Admit(const Outcome& outcome);

 private:
  Limits limits_;
  std::chrono::sys_days day_{};
  // By hash: two that share one are told apart tomorrow.
  boost::unordered_flat_map<size_t, size_t> details_of_;  // of policies
  boost::unordered_flat_set<size_t> known_;
};

class OutcomeBatch {
 public:
  explicit OutcomeBatch(DetailBounds::Limits limits) : bounds_(limits) {}

  // The number of the line that it was merged into, for Again(); kAlone: it is
  // a line of its own. Numbers hold until Take().
  static constexpr size_t kAlone = SIZE_MAX;
  size_t Add(Outcome outcome);
  // One more session of a success that was merged.
  void Again(size_t number);

  bool empty() const { return lines_.outcomes.empty() && merged_.empty(); }
  bool full() const;

  struct Lines {
    std::string text;
    std::vector<uint64_t> outcomes;  // how many each line holds
  };
  // What is in the batch, which is empty then.
  Lines Take();

 private:
  struct Merged {
    Outcome outcome;
    uint64_t outcomes = 0;
  };

  DetailBounds bounds_;
  Lines lines_;
  std::vector<Merged> merged_;
  boost::unordered_flat_map<std::string, size_t> by_identity_;
};

}  // namespace postern
