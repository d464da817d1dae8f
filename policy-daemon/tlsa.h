// Which TLSA records DANE for SMTP can use (RFC 7672 section 3.1).
#pragma once

#include <string>
#include <vector>

#include "common/dns.h"

namespace postern {

// Usage 2 or 3, selector 0 or 1, matching type 1 or 2 with data of the right
// length, or 0 with data that parses as what the selector names. Usages 0 and
// 1 are undefined for SMTP (section 3.1.3): unusable.
bool IsUsable(const TlsaRecord& record);

// "3 1 1 8D02536C...": the presentation form, as Postfix reports it.
std::string ToString(const TlsaRecord& record);

// Those of a set, sorted: so two sets that mean the same are equal.
std::vector<std::string> TlsaStrings(const std::vector<TlsaRecord>& records);

}  // namespace postern
