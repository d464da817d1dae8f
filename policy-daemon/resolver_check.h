// Do the resolvers that Postfix uses validate, and ours? Where one does not,
// every `dane-only` answer would hold mail.
#pragma once

#include <string>
#include <vector>

#include "common/options.h"

#include "policy-daemon/postfix_settings.h"

namespace postern {

// Asks each server of resolv.conf, of its copy in the chroot, and of
// dns.server. Blocks up to
// some seconds for each. It leaves things to the end of the process, which is
// to end by _Exit().
std::vector<std::string> ResolverWarnings(const PostfixSettings& postfix,
                                          const Options::Dns& dns);

}  // namespace postern
