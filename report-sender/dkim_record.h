// Whether the key that a domain publishes is the one that we sign with.
//
// Why: receivers throw away reports whose signature they cannot check (RFC 8460
// section 3), and tell nobody. So the operator is told at the start.
//
// Pure.
#pragma once

#include <string>
#include <vector>

#include "report-sender/dkim.h"

namespace postern {

// "": fine. `records`: the TXT records at SELECTOR._domainkey.DOMAIN, each
// one's strings joined. What is said is printable.
std::string DkimRecordProblem(const std::vector<std::string>& records,
                              const DkimKey& key);

}  // namespace postern
