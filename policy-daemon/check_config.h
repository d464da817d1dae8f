// `postern-policy check-config`: is this machine ready?
//
// Reads the configuration (that it could be read is the first check), looks at
// the folders and at what run.user cannot read, asks postconf(1) how Postfix is
// configured, and each resolver of Postfix's own resolv.conf whether it
// validates. What Postfix lacks, `postern-policy setup` shows and changes.
#pragma once

#include "common/options.h"

namespace postern {

// Returns the exit code: 0 ready, 1 with warnings or with settings that would
// change, 2 a bad configuration.
int CheckConfig(const CommandLine& line);

}  // namespace postern
