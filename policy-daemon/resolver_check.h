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
// daemon logs. Blocks up to some seconds for each.
std::vector<std::string> ResolverWarnings(const PostfixSettings& postfix,
                                          const Options::Dns& dns);

}  // namespace postern
