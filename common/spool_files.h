// The spool's folder: a file a UTC day, "2026-11-22.jsonl". Whatever else is
// in it is not the spool's, and left alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/utc.h"

namespace postern {

std::string SpoolPath(const std::string& directory, Day day);

// The day of a file's name (without its folder).
std::optional<Day> DayOfSpoolName(std::string_view name);

// The days that have a file, the oldest first.
Result<std::vector<Day>> ListSpoolDays(const std::string& directory);

// Who has made a day's reports leaves an empty file "2026-11-22" in the folder
// `reported` beside the day files': then they need not be kept longer than
// spool.keep_days. `directory`: of the day files.
bool IsMarkedReported(const std::string& directory, Day day);
// Makes the folder, too; and removes marks of days that have no file any more.
Status MarkReported(const std::string& directory, Day day);

}  // namespace postern
