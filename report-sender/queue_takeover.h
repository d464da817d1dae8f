// Takes over the queue of an older version.
//
// Up to 0.1.0 reports waited in the folder "reports" of the spool, as files of
// the policy daemon's user. Who delivers from another folder by now begins with
// a copy of what waits there: else the days that are in the spool still would
// be reported once more. The old files stay as they are, and are not looked at
// again.
#pragma once

#include <string>

#include "common/result.h"

namespace postern {

// True where a queue was taken over; false where there is none in
// <spool>/reports, or `folder` has one of its own. Nothing that is a link, or
// no plain file, is read. Blocks. Nobody may write the old queue meanwhile; of
// two processes that start at once, one waits for the other.
Result<bool> TakeOverQueue(const std::string& spool, const std::string& folder);

}  // namespace postern
