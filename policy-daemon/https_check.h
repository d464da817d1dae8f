// Can policy files be fetched from here? Where HTTPS does not go out, every
// domain that is not remembered counts as without MTA-STS, and nobody is told.
#pragma once

#include <string>
#include <vector>

#include "policy-daemon/configuration.h"
#include "policy-daemon/postfix_settings.h"

namespace postern {

// Fetches the policy file of a domain of our own (of report.contact_info, or
// Postfix's mydomain), where one has an MTA-STS record; what is wrong with the
// policy itself is not looked at. Without such a domain, only sts.proxy is
// tried, where it is set; without that, nothing. It asks in a child process
// that root has become run.user in: what is answered is a stranger's. Blocks up
// to a minute. Forks: no other thread may run.
std::vector<std::string> HttpsWarnings(const PostfixSettings& postfix,
                                       const Configuration& configuration);

}  // namespace postern
