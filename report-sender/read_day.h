// Reads the files of a day, of one spool or several, into its totals.
//
// Several spools: an operator may have one a Postfix instance. The same file,
// by whatever path, counts once; a spool without the day's file had nothing to
// tell. The day is over: a line without its end is torn.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "common/utc.h"

#include "report-sender/day_totals.h"

namespace postern {

// `directories`: the folders that hold the day files. Where one cannot be
// read, an Error; `totals` then hold a part.
Status ReadDay(const std::vector<std::string>& directories, Day day,
               DayTotals& totals);

}  // namespace postern
