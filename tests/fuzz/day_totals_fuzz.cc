// Lines of the spool, added up; each comes twice, so that it is known.
#include <algorithm>
#include <map>

#include "common/outcome_json.h"
#include "common/text.h"

#include "report-sender/day_totals.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  struct Sessions {
    uint64_t successful = 0;
    uint64_t failed = 0;
  };
  DayTotals totals({.policies = 3, .details = 2});
  std::map<std::string, Sessions> expected;
  uint64_t skipped = 0;
  for (std::string_view text : SplitList(AsText(data, size), "\n")) {
    const std::string line = std::string(text) + "\n";
    const auto outcome = ParseOutcomeLine(line);
    for (int i = 0; i < 2; ++i) {
      totals.AddLine(line);
      if (!outcome) {
        ++skipped;
        continue;
      }
      Sessions& sum = expected[outcome->domain];
      sum.successful =
          std::min(sum.successful + outcome->successful, kMaxSessions);
      sum.failed = std::min(sum.failed + outcome->failed, kMaxSessions);
    }
  }
  Require(totals.skipped() == skipped, "what is no outcome is skipped");
  Require(totals.lost() == 0, "nothing is lost");
  Require(totals.domains().size() == expected.size(), "each domain is there");
  for (const auto& [domain, sum] : expected) {
    const auto found = totals.Of(domain);
    Require(found.has_value(), "each domain is there");
    Sessions all;
    for (const PolicyTotals& policy : found->policies) {
      all.successful =
          std::min(all.successful + policy.successful, kMaxSessions);
      all.failed = std::min(all.failed + policy.failed, kMaxSessions);
      Require(policy.details.size() <= 2 + 11, "details are bounded");
    }
    Require(all.successful == sum.successful && all.failed == sum.failed,
            "sessions are exact");
    Require(found->policies.size() <= 3 + 3, "policies are bounded");
  }
  return 0;
}
