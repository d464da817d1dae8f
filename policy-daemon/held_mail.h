// HeldMail: for which domains mail was held because their policy file was slow.
//
// Why: a slow file must not hold mail (RFC 8461 section 3.3): once a domain and
// day is the most, whatever the file's id, max_age or end turn out to be. So
// the note stands by itself, apart from what is remembered of policies.
//
// Contract: loop thread only. At most kMaxNotes domains, the oldest go first;
// a restart forgets them all. Either costs a second wait, nothing else.
#pragma once

#include <deque>
#include <string>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/clock.h"

namespace postern {

class HeldMail {
 public:
  static constexpr Seconds kLasts{24 * 3600};
  static constexpr size_t kMaxNotes = 20000;

  // When mail for `domain` was held first, less than kLasts ago: `now` where it
  // was not.
  SteadyTime Note(const std::string& domain, SteadyTime now);
  bool Has(const std::string& domain, SteadyTime now) const;

  size_t size() const { return notes_.size(); }

 private:
  boost::unordered_flat_map<std::string, SteadyTime> notes_;
  std::deque<std::string> order_;  // of notes_, the oldest first
};

}  // namespace postern
