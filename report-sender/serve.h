// postern-report serve: the daemon. Closes days, builds their reports, delivers
// them and tries again, until SIGTERM; SIGHUP reads the configuration anew.
#pragma once

#include "common/options.h"

namespace postern {

// Returns the exit code. `argc`, `argv`: what a reload reads again.
int ServeReports(const CommandLine& line, int argc, const char* const* argv);

}  // namespace postern
