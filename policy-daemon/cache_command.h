// `postern-policy cache list|show|purge`: the remembered policies, from the
// file of the daemon while it runs.
#pragma once

#include <string>

#include "common/options.h"

#include "policy-daemon/policy_store.h"

namespace postern {

// Returns the exit code: 0 fine, 1 the domain is not remembered, 2 usage or no
// right to the file.
int Cache(const CommandLine& line);

// The rest is pure.

// "3 d 4 h", "5 h 6 min", "7 min", "8 s": the two largest units.
std::string Span(Seconds seconds);

// A line of `cache list`, and its head.
std::string CacheListHead();
std::string CacheListLine(const std::string& domain, const StsMemory& memory,
                          WallTime now);
// Everything about one domain, for a person.
std::string CacheText(const std::string& domain, const StsMemory& memory,
                      WallTime now);
// One line of JSON, without its end.
std::string CacheJson(const std::string& domain, const StsMemory& memory,
                      WallTime now);

}  // namespace postern
