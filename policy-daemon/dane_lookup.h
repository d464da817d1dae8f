// Gathers what DANE knows of a destination (RFC 7672 section 2.2): the MX set
// with its security, and for each host the addresses and TLSA records.
//
// Postfix repeats these lookups for each host when it delivers; the state
// found here must agree with what it will find (facts of tls_dane.c at the
// lines that follow them).
//
// Contract: loop thread only; every lookup ends within the resolver's
// timeouts. Failures are states with a reason, never errors.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "common/address_queries.h"
#include "common/dns.h"

#include "policy-daemon/facts.h"

namespace postern {

class DaneLookup {
 public:
  // Both outlive the lookup.
  DaneLookup(boost::asio::any_io_executor executor, Clock& clock,
             Resolver& resolver)
      : executor_(std::move(executor)), clock_(clock), resolver_(resolver) {}

  struct MxSet {
    MxFacts facts;
    std::vector<std::string> hosts;  // best preference first, at most kMaxHosts
  };
  Awaitable<MxSet> FindMx(PolicyKey key);

  Awaitable<HostFacts> FindHost(std::string host, uint16_t port);

 private:
  // What A and AAAA say together.
  struct Addresses {
    enum class State { kSecure, kInsecure, kNone, kFailed };
    State state = State::kFailed;
    bool is_alias = false;
    std::string canonical_name;
    std::string reason;
    std::optional<DnsType> failed;  // SERVFAIL: what was asked for
    Seconds ttl{0};
  };
  Awaitable<Addresses> FindAddresses(std::string host);
  static Addresses Judge(const AddressQueries& queries);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Resolver& resolver_;
};

}  // namespace postern
