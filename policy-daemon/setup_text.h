// What `postern-policy setup` says of its changes, to be read at a glance
// (pure). All that stands in Postfix's files is escaped.
#pragma once

#include <string>
#include <vector>

#include "policy-daemon/wiring.h"

namespace postern {

// File by file: what will be there, what was, and why. "" without changes.
std::string ChangesText(const std::vector<Change>& changes,
                        const std::string& config_directory);

// The same for who would rather type it.
std::string ByHandText(const std::vector<Change>& changes);

// A line each: "warning: ...".
std::string RemarksText(const char* kind,
                        const std::vector<std::string>& remarks);

}  // namespace postern
