// Reads the files of a day, of one spool or several, into its totals.
//
// Several spools: an operator may have one a Postfix instance. The same file,
// by whatever path, counts once; a spool without the day's file had nothing to
// tell. The day is over: a line without its end is torn.
//
// The first folder is our own, and the first outcome makes it. Where there had
// been outcomes before, it was there, so that it is not mounted if it is not
// there now. The others are of other machines: one that is not there is not
// mounted. Of such folders the outcomes are missing.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "common/utc.h"

#include "report-sender/day_totals.h"

namespace postern {

// `directories`: the folders that hold the day files; `had_outcomes`: an
// earlier day had some. Returns those that are missing. Where one cannot be
// read, an Error; `totals` then hold a part.
Result<std::vector<std::string>> ReadDay(
    const std::vector<std::string>& directories, bool had_outcomes, Day day,
    DayTotals& totals);

// Those of `directories` that are missing. Blocks.
std::vector<std::string> MissingFolders(
    const std::vector<std::string>& directories, bool had_outcomes);

}  // namespace postern
