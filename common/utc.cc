#include "common/utc.h"

#include <algorithm>

#include "common/text.h"

namespace postern {
namespace {

using std::chrono::days;
using std::chrono::hh_mm_ss;
using std::chrono::year_month_day;

constexpr Day kFirstDay = std::chrono::year(0) / 1 / 1;
constexpr Day kLastDay = std::chrono::year(9999) / 12 / 31;

constexpr char kDayForm[] = "0000-00-00";
constexpr char kTimeForm[] = "0000-00-00T00:00:00Z";

// Writes into the "00" or "0000" that begins at `place`.
void Put(std::string& text, size_t place, size_t digits, unsigned value) {
  for (size_t i = digits; i > 0; --i, value /= 10)
    text[place + i - 1] = static_cast<char>('0' + value % 10);
}

void PutDay(std::string& text, Day day) {
  const year_month_day date(day);
  Put(text, 0, 4, static_cast<unsigned>(static_cast<int>(date.year())));
  Put(text, 5, 2, static_cast<unsigned>(date.month()));
  Put(text, 8, 2, static_cast<unsigned>(date.day()));
}

// Digits where the form has a 0, and what it has everywhere else.
bool HasForm(std::string_view text, std::string_view form) {
  return std::equal(
      text.begin(), text.end(), form.begin(), form.end(),
      [](char c, char f) { return f == '0' ? IsAsciiDigit(c) : c == f; });
}

unsigned Number(std::string_view text, size_t place, size_t digits) {
  unsigned value = 0;
  for (char c : text.substr(place, digits))
    value = value * 10 + static_cast<unsigned>(c - '0');
  return value;
}

}  // namespace

std::string FormatUtc(WallTime time) {
  time = std::clamp(time, WallTime(kFirstDay),
                    WallTime(kLastDay) + days(1) - Seconds(1));
  const Day day = DayOf(time);
  const hh_mm_ss clock(time - day);
  std::string text = kTimeForm;
  PutDay(text, day);
  Put(text, 11, 2, static_cast<unsigned>(clock.hours().count()));
  Put(text, 14, 2, static_cast<unsigned>(clock.minutes().count()));
  Put(text, 17, 2, static_cast<unsigned>(clock.seconds().count()));
  return text;
}

std::string FormatDay(Day day) {
  std::string text = kDayForm;
  PutDay(text, std::clamp(day, kFirstDay, kLastDay));
  return text;
}

std::optional<WallTime> ParseUtc(std::string_view text) {
  if (!HasForm(text, kTimeForm)) return std::nullopt;
  const auto day = ParseDay(text.substr(0, sizeof kDayForm - 1));
  const unsigned hour = Number(text, 11, 2);
  const unsigned minute = Number(text, 14, 2);
  const unsigned second = Number(text, 17, 2);
  if (!day || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return WallTime(*day) + Seconds((hour * 60 + minute) * 60 + second);
}

std::optional<Day> ParseDay(std::string_view text) {
  if (!HasForm(text, kDayForm)) return std::nullopt;
  const year_month_day date(
      std::chrono::year(static_cast<int>(Number(text, 0, 4))),
      std::chrono::month(Number(text, 5, 2)),
      std::chrono::day(Number(text, 8, 2)));
  if (!date.ok()) return std::nullopt;
  return Day(date);
}

}  // namespace postern
