// What setup would take out of main.cf and master.cf again (pure).
//
// Where the record says what was there before, that comes back, unless the
// administrator has changed it since, or mail would suffer: from a daemon that
// does not answer, or for want of something that others rely on by now. Of
// lists only our entry goes. What the record does not know goes only if it is
// unmistakably ours.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

#include "policy-daemon/wiring_record.h"

namespace postern {

struct RemovalPlan {
  std::vector<Change> changes;
  std::vector<std::string> left;      // what stays, and why
  std::vector<std::string> warnings;  // what would still ask us
};

// Does anybody answer Postfix by such an entry ("socketmap:...")? The Error
// says what is in the way.
using AskEntry = std::function<Status(const std::string& entry)>;

// `ask` is asked about what would come back.
// REQUIRES: postfix.is_there().
RemovalPlan PlanRemoval(const PostfixSettings& postfix, const Options& options,
                        const std::optional<WiringRecord>& record,
                        const AskEntry& ask);

// Where Postfix asks us, for policies or as a milter: as long as it does and
// nobody answers, mail waits or is refused. A line each.
std::vector<std::string> WhatAsksUs(const PostfixSettings& postfix,
                                    const Options& options,
                                    const std::optional<WiringRecord>& record);

}  // namespace postern
