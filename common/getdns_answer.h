// From a DNS message, read by getdns, to a DnsAnswer. The bytes inside come
// from whoever runs the zone: all is bounded and checked here.
#pragma once

#include <string>
#include <string_view>

#include "common/dns.h"

namespace postern {

// `message`: a reply to the question. `trusted`: the AD bit of this server may
// be believed.
DnsAnswer ReadDnsMessage(std::string_view message, const std::string& name,
                         DnsType type, bool trusted);

// A name in wire form as text: lower case, no trailing dot, "" for the root;
// bytes that no host name has as \DDD (RFC 1035 section 5.1). "\000" for
// malformed bytes: no valid name.
std::string WireNameToText(const uint8_t* bytes, size_t size);

}  // namespace postern
