// TargetLimits: how many reports of a day may go to one target.
//
// Why: a stranger with a thousand subdomains can have each name the same victim
// as where its reports go. So many reports (report.max_per_target), and no
// more, go
//   - to one address, or to one https host,
//   - about the names of one owner to addresses of one other owner.
// The last so that a thousand addresses at the victim's domain do not help, and
// a service that takes the reports of many owners does not suffer. Reports
// about the target's own names do not count: what asks for them is its own
// record. Owners are told apart by the Public Suffix List.
//
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "report-sender/tlsrpt_record.h"

namespace postern {

class TargetLimits {
 public:
  explicit TargetLimits(uint32_t limit) : limit_(limit) {}

  // One more, about `domain`; false: there were too many before it.
  bool Take(const std::string& domain, const Destination& destination);

 private:
  const uint32_t limit_;
  std::map<std::string, uint32_t> taken_;
};

}  // namespace postern
