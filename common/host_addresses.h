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
  std::vector<IpAddress> usable;  // a bounded number
  std::string problem;            // why there is none
  bool refused = false;           // there are some, all of them not global
};

// `clock` and `resolver` outlive the lookup, which ends by itself.
Awaitable<HostAddresses> AddressesOf(boost::asio::any_io_executor executor,
                                     Clock& clock, Resolver& resolver,
                                     std::string host, AddressFilter filter);

}  // namespace postern
