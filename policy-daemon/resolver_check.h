// Do the resolvers that Postfix uses validate? Where one does not, every
// `dane-only` answer would hold mail.
#pragma once

#include <string>
#include <vector>

#include "policy-daemon/postfix_settings.h"

namespace postern {

// Asks each server of resolv.conf, and of its copy in the chroot. Blocks up to
// some seconds for each. It leaves things to the end of the process, which is
// to end by _Exit().
std::vector<std::string> ResolverWarnings(const PostfixSettings& postfix);

}  // namespace postern
