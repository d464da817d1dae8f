// What a report is called: its report-id and its file's name, the same however
// often the day is built.
//
// Why: a receiver tells repeats by it, and a delivery that was interrupted is
// repeated (RFC 8460 section 5.5).
//
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/utc.h"

namespace postern {

// Who reports: what the configuration says of us.
struct Submitter {
  std::string organization_name;
  std::string contact_info;  // an address
  // Of contact_info: what TLS-Report-Submitter says (RFC 8460 section 5.3).
  // In normal form.
  std::string domain;
  // Tells two machines of one organization apart: any text.
  std::string instance;

  friend bool operator==(const Submitter&, const Submitter&) = default;
};

// The day as the report has it: from its first to its last second, so that no
// receiver takes the end for the next day.
WallTime DayBegin(Day day);
WallTime DayEnd(Day day);

// "5f0c..@example.org": a hash of day, domain, submitter and instance, and the
// submitter's domain. A dot-atom on both sides: as it is, it can stand in JSON,
// in a Subject and in a Message-ID.
std::string ReportId(Day day, std::string_view domain,
                     const Submitter& submitter);

// "example.org!example.com!1795305600!1795391999!mx1.json.gz", RFC 8460
// section 5.1.
std::string ReportFileName(Day day, std::string_view domain,
                           const Submitter& submitter);

}  // namespace postern
