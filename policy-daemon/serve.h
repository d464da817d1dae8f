// `postern-policy serve`: the daemon, in the foreground.
//
// Order: what needs root first (sockets, certificate authorities), then the
// privileges go, then questions are answered. SIGTERM: no new connections,
// answers in flight finish within policy.answer_timeout, socket files go.
#pragma once

#include "common/options.h"

namespace postern {

// Returns the exit code: 0 after SIGTERM, 2 where the configuration or the
// machine does not allow it to start.
int Serve(const CommandLine& line);

}  // namespace postern
