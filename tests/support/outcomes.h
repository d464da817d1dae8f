// Outcomes for the tests of the spool.
#pragma once

#include <string>

#include "common/outcome.h"

#include "tests/support/policy_folder.h"

namespace postern {

// Three deliveries under an MTA-STS policy; every member of a line is there.
Outcome DeliveredSessions(WallTime at = kNow);
// One that failed, with every member of a failure detail.
Outcome FailedSession(WallTime at = kNow);

// The line of AppendOutcomeLine(). Where POSTERN_OUTCOME_LINES names a file, it
// is added to it, for tests/common/check-spool-schema.
std::string LineOf(const Outcome& outcome);

}  // namespace postern
