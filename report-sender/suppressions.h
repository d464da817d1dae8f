// Suppressions: who gets no reports, by the operator's word (report.suppress).
//
//   # one a line; what follows '#' is a comment
//   example.com                            no reports about it
//   reports@example.net                    nothing to this address
//   @example.org   until 2027-01-31        nothing to any address there, nor by
//                                          https to the host example.org
//
// An entry with `until` holds to the end of that day (UTC).
//
// Pure, but for LoadSuppressions().
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/utc.h"

#include "report-sender/tlsrpt_record.h"

namespace postern {

class Suppressions {
 public:
  // The Error names the line, and what is wrong with it. `name` is the file's.
  static Result<Suppressions> Parse(std::string_view text,
                                    const std::string& name);

  bool HasDomain(std::string_view domain, Day today) const;
  bool HasDestination(const Destination& destination, Day today) const;
  size_t size() const { return entries_.size(); }

 private:
  bool Has(std::string_view what, Day today) const;

  // "example.com", "a@example.com" or "@example.com": its last day.
  std::map<std::string, Day, std::less<>> entries_;
};

// "" is none. Blocks.
Result<Suppressions> LoadSuppressions(const std::string& path);

}  // namespace postern
