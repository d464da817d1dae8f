// A and AAAA of one host, asked for at the same time.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/dns.h"
#include "common/event.h"

namespace postern {

// Shared by the two queries and whoever waits for them.
struct AddressQueries {
  AddressQueries(const boost::asio::any_io_executor& executor, Clock& clock)
      : one(executor, clock), both(executor, clock) {}
  std::optional<DnsAnswer> v4, v6;
  Event one;  // a family has addresses, or both have been answered
  Event both;
};

// Starts both. `clock` and `resolver` outlive them.
std::shared_ptr<AddressQueries> AskForAddresses(
    const boost::asio::any_io_executor& executor, Clock& clock,
    Resolver& resolver, const std::string& host);

// Longer than any resolver takes for a query: waits end before it.
inline constexpr Seconds kQueryBound{60};

}  // namespace postern
