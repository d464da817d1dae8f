#include "report-sender/schedule.h"

#include <algorithm>
#include <functional>

#include "common/text.h"

namespace postern {
namespace {

using std::chrono::days;

constexpr int kCatchUpDays = 3;
constexpr Seconds kFirstPause{5 * 60};
constexpr Seconds kLongestPause{4 * 3600};
constexpr int kMinAttempts = 3;
constexpr Seconds kStep{60};

// The same on every machine (FNV-1a).
uint64_t Hash(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211u;
  }
  return hash ^ (hash >> 32);
}

}  // namespace

bool HasEnded(Day day, WallTime now) {
  return now >= WallTime(day) + days(1) + kGrace;
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
                        WallTime now, Seconds retry_for) {
  if (handover.accepted) return {DeliveryState::kDelivered, now, {}, ""};
  if (handover.unwanted)
    return {DeliveryState::kDropped, now, {}, handover.reason};
  const WallTime end = parcel.first_attempt.value_or(now) + retry_for;
  // Some tries there must have been: a clock may have leapt.
  if (now >= end && parcel.attempts + 1 >= kMinAttempts)
    return {DeliveryState::kGivenUp, now, {}, handover.reason};
  Seconds pause = kFirstPause;
  for (int i = 0; i < parcel.attempts && pause < kLongestPause; ++i) pause *= 2;
  pause = std::min(pause, kLongestPause);
  // Those that failed together do not come back together.
  pause += Seconds(parcel.number % (pause.count() / 10));
  pause = std::max(pause, handover.retry_after.value_or(Seconds(0)));
  const WallTime again =
      now < end ? std::min(now + pause, end) : now + kFirstPause;
  return {DeliveryState::kWaiting, now, again, handover.reason};
}

bool ClockWatch::IsEven(SteadyTime steady, WallTime wall) {
  const std::chrono::nanoseconds offset =
      wall.time_since_epoch() - steady.time_since_epoch();
  const bool first = !offset_;
  const bool stepped =
      !first && (offset > *offset_ + kStep || offset < *offset_ - kStep);
  if (first) even_since_ = steady - kGrace;
  if (stepped) even_since_ = steady;
  if (first || stepped) offset_ = offset;
  return steady - even_since_ >= kGrace;
}

}  // namespace postern
