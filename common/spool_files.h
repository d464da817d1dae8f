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

}  // namespace postern
