// DayTotals: what the lines of a day's spool add up to, for each domain the
// policies, their sessions and their failures.
//
// Memory grows with what is distinct, not with the lines. Most lines of a day
// repeat another one but for the time and the numbers of sessions: the text
// between is looked up, and its sums grow without parsing. Only a text that is
// new is parsed (common/outcome_json.h).
//
// What is one: policies and details that are equal but for the order, the
// spelling of addresses and the case of names; who told of them (`source`) does
// not matter. Fields that no report could have (an address that is none, a
// policy-domain that is no domain) are left out, the domain in their place.
//
// A line with a digest in place of its policy's text counts as if the text of
// the earlier line with that digest stood in it; where there is none, under a
// policy of that type and domain without text.
//
// Bounds: strangers choose a part of all that. Beyond its bounds a domain's
// policies are summed up by type alone, a policy's details by result type; so
// is everything new once the whole day is too large. Sessions stay exact, until
// even that is too much: then a line is lost, and counted.
//
// Contract: one thread; no input or output. The same lines in the same order
// give the same totals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/outcome.h"

namespace postern {

struct PolicyTotals {
  PolicyType type = PolicyType::kNoPolicyFound;
  std::string domain;  // never empty
  std::vector<std::string> strings;
  std::vector<std::string> mx_hosts;
  uint64_t successful = 0;  // sessions; at most kMaxSessions
  uint64_t failed = 0;
  std::vector<FailureDetail> details;  // distinct and sorted

  friend bool operator==(const PolicyTotals&, const PolicyTotals&) = default;
};

struct DomainTotals {
  std::string domain;
  std::string record;  // the TXT record that came up last; "": none did
  std::vector<PolicyTotals> policies;  // distinct and sorted

  friend bool operator==(const DomainTotals&, const DomainTotals&) = default;
};

class DayTotals {
 public:
  struct Limits {
    // Of a domain. A DANE domain has one a host, and one more a key change.
    size_t policies = 100;
    // Of a policy: as many as policy-daemon/outcome_batch.h keeps.
    size_t details = 1000;
    // Text of a domain, so that its report stays about as large: receivers
    // commonly refuse 10 MB (RFC 8460 section 5.2).
    size_t domain_bytes = 4 << 20;
    // Everything: about a million domains. Up to twice as much is used to keep
    // sums exact.
    size_t bytes = 512 << 20;
    // Texts of lines that are known: past it, all of them are forgotten.
    size_t known_bytes = 128 << 20;
  };

  DayTotals() : DayTotals(Limits()) {}
  explicit DayTotals(Limits limits) : limits_(limits) {}

  // A line of the spool, its '\n' included.
  void AddLine(std::string_view line);
  // A line was lost: it could not be added.
  void CountLost() { ++lost_; }

  // Those with an outcome, sorted.
  std::vector<std::string_view> domains() const;
  // nullopt: there is no outcome.
  std::optional<DomainTotals> Of(std::string_view domain) const;

  uint64_t lines() const { return lines_; }
  // Lines that are none of ours, or torn.
  uint64_t skipped() const { return skipped_; }
  // Lines of which something is not in the totals: the day is too large.
  uint64_t lost() const { return lost_; }

 private:
  // By packed policies and details (day_totals.cc).
  struct Sums {
    uint64_t successful = 0;
    uint64_t failed = 0;
    std::map<std::string, uint64_t> details;
  };
  struct Domain {
    std::string record;
    size_t bytes = 0;
    std::map<std::string, Sums> policies;
    // Where a digest's policy counts.
    std::map<std::string, Sums*> digests;
  };
  // Where an outcome's numbers go: nodes of the maps, which stay in place.
  struct Places {
    Sums* policy = nullptr;
    struct Detail {
      uint64_t* sum;
      uint64_t sessions;
    };
    std::vector<Detail> details;
  };

  bool IsTime(std::string_view text);
  static void Count(const Places& places, uint64_t successful, uint64_t failed);
  // Where not, `text_` may have been taken from anywhere in the line.
  bool IsAsWeWrite(const Outcome& outcome, std::string_view line);
  void Remember(const Places& places);

  // nullopt: it is lost.
  std::optional<Places> PlacesOf(const Outcome& outcome);
  Sums* PolicyOf(Domain& domain, const Outcome& outcome);
  void NoteDigest(Domain& domain, const Outcome& outcome, Sums* policy);
  uint64_t* DetailOf(Domain& domain, Sums& policy, const FailureDetail& detail);
  // Of `map`, what is at `key`, or at `overflow` where there is no room for
  // more than `limit`; nullptr where there is none at all.
  template <class Value>
  Value* Find(Domain& domain, std::map<std::string, Value>& map,
              const std::string& key, size_t limit,
              const std::string& overflow);

  Limits limits_;
  std::map<std::string, Domain, std::less<>> domains_;
  size_t bytes_ = 0;
  uint64_t lines_ = 0;
  uint64_t skipped_ = 0;
  uint64_t lost_ = 0;

  // By the text of lines without their times and numbers.
  boost::unordered_flat_map<std::string, Places, std::hash<std::string>> known_;
  size_t known_bytes_ = 0;
  std::string text_;   // of the line at hand
  std::string again_;  // the line as we write it
  std::string time_;   // the last that was one
};

}  // namespace postern
