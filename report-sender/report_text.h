// The part of a report's mail that people read: what went well, what failed
// and why, in a page. The attachment has it all.
//
// Much of it is text of strangers: whatever is in the totals, each line is
// printable ASCII and short enough for any mail server.
//
// Pure.
#pragma once

#include <string>

#include "report-sender/day_totals.h"
#include "report-sender/report_id.h"

namespace postern {

std::string ReportText(const DomainTotals& totals, Day day,
                       const Submitter& submitter);

}  // namespace postern
