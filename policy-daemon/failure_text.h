// Failures of the spool for a person: the rows of a table, and below it what
// each kind of failure means and who must act.
//
// Strangers' text comes out as printable ASCII, cut to its column.
//
// Pure.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/outcome.h"

namespace postern {

// Whether there is something to show: sessions failed, or a failure was found
// for which none did.
bool IsFailure(const Outcome& outcome);

inline constexpr size_t kFailureColumns = 7;
using FailureRow = std::array<std::string, kFailureColumns>;

// A row for each detail, or one that says that there is none.
// REQUIRES: IsFailure(outcome).
std::vector<FailureRow> FailureRows(const Outcome& outcome);

// Rows as lines. The first ones wait, so that the columns are as wide as what
// is in them; what comes later and is wider moves its line and those below.
class FailureTable {
 public:
  // The lines that are due with this row, each with its '\n'.
  std::string Add(FailureRow row);
  // What waits, the head before it; from now on, rows are due at once.
  std::string Flush();

 private:
  std::vector<FailureRow> waiting_;
  bool started_ = false;
  std::array<size_t, kFailureColumns> widths_{};
};

// What the outcomes of a time add up to.
class FailureSummary {
 public:
  void Add(const Outcome& outcome);

  // One text for each kind of failure that there was, "" without any.
  std::string Explanations() const;
  // `where`: "since ... at example.com".
  std::string Totals(const std::string& where) const;

  static constexpr size_t kMaxKinds = 32;

 private:
  std::bitset<kMaxKinds> kinds_;
  uint64_t failed_ = 0;
  uint64_t successful_ = 0;
};

}  // namespace postern
