// The addresses of a host that we may connect to.
//
// Why: strangers choose the hosts that we fetch policies from and post reports
// to. The filter keeps them from choosing hosts inside of our network; it is
// applied to what is connected to, not to another lookup's answer.
#pragma once

#include <string>
#include <vector>

#include "common/address_queries.h"
#include "common/ip_address.h"

namespace postern {

struct HostAddresses {
  // A bounded number; the families alternate, IPv4 first (RFC 8305 section 4,
  // but that IPv6 is the one that more often leads nowhere).
  std::vector<IpAddress> usable;
  std::vector<IpAddress> not_global;  // left out; a bounded number
  std::string problem;                // why none is usable, for our own people
  bool lookup_failed = false;
  bool refused = false;  // there are some, all of them not global
};

// "64:ff9b:1::1, 10.0.0.1", or fewer and "...".
std::string ListOf(const std::vector<IpAddress>& addresses);

// `clock` and `resolver` outlive the lookup, which ends by itself.
Awaitable<HostAddresses> AddressesOf(boost::asio::any_io_executor executor,
                                     Clock& clock, Resolver& resolver,
                                     std::string host, AddressFilter filter);

}  // namespace postern
