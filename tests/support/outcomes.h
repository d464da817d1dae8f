// Outcomes for the tests of the spool.
#pragma once

#include <string>

#include "common/outcome.h"

namespace postern {

// 2026-11-22T13:05:07Z.
inline constexpr WallTime kNoon{Seconds(1795352707)};

// Three deliveries under an MTA-STS policy; every member of a line is there.
Outcome DeliveredSessions(WallTime at = kNoon);
// One that failed, with every member of a failure detail.
Outcome FailedSession(WallTime at = kNoon);

// The line of AppendOutcomeLine(). Where POSTERN_OUTCOME_LINES names a file, it
// is added to it, for tests/common/check-spool-schema.
std::string LineOf(const Outcome& outcome);

}  // namespace postern
