// Outcomes and their lines for the tests of the report sender.
#pragma once

#include <string>

#include "common/outcome.h"

#include "report-sender/report_id.h"

namespace postern {

// 2026-11-22T13:05:07Z.
inline constexpr WallTime kNow{Seconds(1795352707)};

inline constexpr Day kDay = std::chrono::year(2026) / 11 / 22;

Submitter ExampleOrg();

// Three deliveries under an MTA-STS policy of its own.
Outcome StsSuccess(const std::string& domain = "example.com");
// One delivery that failed, with the host's TLSA records.
Outcome DaneFailure(const std::string& domain = "example.com",
                    const std::string& reason = "");

std::string LineOf(const Outcome& outcome);

}  // namespace postern
