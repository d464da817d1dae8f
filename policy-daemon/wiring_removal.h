// What setup would take out of main.cf and master.cf again (pure).
//
// Where the record says what was there before, that comes back, unless the
// administrator has changed it since; of lists only our entry goes. What the
// record does not know goes only if it is unmistakably ours.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "policy-daemon/wiring_record.h"

namespace postern {

struct RemovalPlan {
  std::vector<Change> changes;
  std::vector<std::string> left;      // not ours to change any more
  std::vector<std::string> warnings;  // that still asks us
};

// REQUIRES: postfix.is_there().
RemovalPlan PlanRemoval(const PostfixSettings& postfix, const Options& options,
                        const std::optional<WiringRecord>& record);

}  // namespace postern
