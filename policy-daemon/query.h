// `postern-policy query DOMAIN`: what an admin runs when mail is deferred.
//
// It looks everything up afresh, waits until all is known, and tells the reply
// and every fact behind it. Diagnostics go to standard error.
#pragma once

#include "common/options.h"

namespace postern {

// Returns the exit code: 0 fine, 1 something is wrong at the domain, 75 the
// answer is TEMP, 2 not a key or a bad configuration.
int Query(const CommandLine& line);

}  // namespace postern
