// Fingerprints of outcomes: what tells apart those that may not be counted
// together. By hash: two that share one are told apart by who compares them,
// or are taken for one where nothing but a bound depends on it.
//
// Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/outcome.h"

namespace postern {

// Of all that is added; and the memory that its strings take.
class Fingerprint {
 public:
  // Who told of it, and under which policy.
  static Fingerprint OfPolicy(const Outcome& outcome);
  // All of it but its time and the numbers of sessions; `policy`: see above.
  static Fingerprint OfLine(const Outcome& outcome, Fingerprint policy);

  void Add(size_t number);
  void Add(std::string_view text);
  void Add(const std::vector<std::string>& texts);
  void Add(const FailureDetail& detail);

  size_t hash() const { return hash_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t hash_ = 0;
  size_t bytes_ = 0;
};

}  // namespace postern
