// What the owner of a domain is told of a policy fetch that failed.
//
// It goes into reports, to strangers: fixed words, and what is the domain's
// own (its policy host's name, its HTTP status, its media type, its
// certificate's fault, its policy's). Addresses, errors of the system's or of
// libraries, our resolver and our proxy stay in our log. Pure.
#pragma once

#include <string>

#include "common/host_addresses.h"
#include "common/https.h"

namespace postern {

// Of a host of which no address is usable.
std::string ToldOf(const HostAddresses& addresses, const std::string& host);

// Of a request to it that failed otherwise than by kLocal, which nobody is
// told.
std::string ToldOf(const HttpsResponse& failed, const std::string& host);

}  // namespace postern
