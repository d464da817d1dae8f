// `postern-policy serve`: the daemon, in the foreground, until SIGTERM.
#pragma once

#include "common/options.h"

namespace postern {

// Returns the exit code. `argc`, `argv`: what `line` was read from, to be read
// again at SIGHUP.
int Serve(const CommandLine& line, int argc, const char* const* argv);

}  // namespace postern
