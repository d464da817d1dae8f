#include "report-sender/schedule.h"

#include <algorithm>
#include <functional>

#include "common/text.h"

namespace postern {
namespace {

using std::chrono::days;

constexpr Seconds kFirstPause{5 * 60};
constexpr Seconds kLongestPause{4 * 3600};
constexpr int kMinAttempts = 3;

// The same on every machine (FNV-1a).
uint64_t Hash(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211u;
  }
  return hash ^ (hash >> 32);
}

// After so many attempts before it.
Seconds PauseAfter(int attempts) {
  Seconds pause = kFirstPause;
  for (int i = 0; i < attempts && pause < kLongestPause; ++i) pause *= 2;
  return std::min(pause, kLongestPause);
}

// Those that failed together do not come back together.
Seconds Spread(Seconds pause) { return pause / 10; }

// As many as there are in `retry_for` however the pauses are spread.
int AttemptsIn(Seconds retry_for) {
  int attempts = 1;
  for (Seconds at{0}; at < retry_for; ++attempts) {
    const Seconds pause = PauseAfter(attempts - 1);
    at += pause + Spread(pause);
  }
  return std::max(attempts, kMinAttempts);
}

}  // namespace

bool HasEnded(Day day, WallTime now) {
  return now >= WallTime(day) + days(1) + kGrace;
}

bool IsLastChance(Day day, WallTime now) {
  return day + days(kCatchUpDays) <= DayOf(now - kGrace);
}

std::vector<Day> DaysToClose(WallTime now) {
  const Day today = DayOf(now - kGrace);
  std::vector<Day> due;
  for (int ago = kCatchUpDays; ago > 0; --ago) due.push_back(today - days(ago));
  return due;
}

WallTime DeliveryTime(WallTime now, Seconds jitter, const std::string& key) {
  if (jitter <= Seconds(0)) return now;
  return now + Seconds(Hash(key) % static_cast<uint64_t>(jitter.count()));
}

Settlement SettlementOf(const Parcel& parcel, const Handover& handover,
                        WallTime now, Seconds retry_for, bool clock_is_even) {
  if (handover.accepted) return {DeliveryState::kDelivered, now, {}, ""};
  if (handover.unwanted)
    return {DeliveryState::kDropped, now, {}, handover.reason};
  const WallTime end = parcel.first_attempt.value_or(now) + retry_for;
  if (now >= end && clock_is_even &&
      parcel.attempts + 1 >= AttemptsIn(retry_for))
    return {DeliveryState::kGivenUp, now, {}, handover.reason};
  Seconds pause = PauseAfter(parcel.attempts);
  pause += Seconds(parcel.number % Spread(pause).count());
  WallTime again = now + pause;
  if (now < end)
    again = std::min(
        end, std::max(again, now + handover.retry_after.value_or(pause)));
  return {DeliveryState::kWaiting, now, again, handover.reason};
}

}  // namespace postern
