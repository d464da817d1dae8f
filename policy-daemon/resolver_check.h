// Do the resolvers that Postfix uses validate, and ours? Where one does not,
// every `dane-only` answer would hold mail.
#pragma once

#include <string>
#include <vector>

#include "common/options.h"

#include "policy-daemon/postfix_settings.h"

namespace postern {

// Asks each server of resolv.conf, of its copy in the chroot, and those that
// the daemon asks (dns.server, or resolv.conf's), of which it says what the
// daemon logs. It asks in a child process that root has become run.user in:
// what they answer is a stranger's. Blocks up to some seconds for each. Forks:
// no other thread may run.
std::vector<std::string> ResolverWarnings(const PostfixSettings& postfix,
                                          const Options& options);

}  // namespace postern
