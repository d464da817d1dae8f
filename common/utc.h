// Times and days as text, always UTC: "2026-11-22T13:05:07Z", "2026-11-22".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"

namespace postern {

using Day = std::chrono::sys_days;

inline Day DayOf(WallTime time) {
  return std::chrono::floor<std::chrono::days>(time);
}

// Times before the year 0 and after 9999 are written as its first, its last.
std::string FormatUtc(WallTime time);
std::string FormatDay(Day day);

// Exactly what these write of times that there are; no leap seconds.
std::optional<WallTime> ParseUtc(std::string_view text);
std::optional<Day> ParseDay(std::string_view text);

}  // namespace postern
