#include "policy-daemon/dane_lookup.h"

#include <algorithm>
#include <optional>

#include "common/domain_name.h"

namespace postern {
namespace {

// How long the other family is waited for where one has a secure address.
constexpr Seconds kLateFamily{3};
// Longer names are no host names, and only told to people.
constexpr size_t kMaxToldName = 255;

void SortByPreference(std::vector<MxRecord>& records) {
  std::stable_sort(records.begin(), records.end(),
                   [](const MxRecord& a, const MxRecord& b) {
                     return a.preference < b.preference;
                   });
}

bool HasInsecureAddress(const AddressQueries& queries) {
  const auto is_one = [](const std::optional<DnsAnswer>& answer) {
    return answer && answer->has_data() && !answer->secure;
  };
  return is_one(queries.v4) || is_one(queries.v6);
}

}  // namespace

Awaitable<DaneLookup::MxSet> DaneLookup::FindMx(PolicyKey key) {
  MxSet set;
  if (key.is_host) {
    // RFC 7672 section 2.2.2: no MX lookup, the host itself is the candidate.
    set.facts.state = MxState::kSecure;
    set.facts.ttl = Seconds(3600);
    set.hosts = {key.domain};
    co_return set;
  }
  DnsAnswer answer = co_await resolver_.Query(key.domain, DnsType::kMx);
  set.facts.ttl = answer.ttl;
  if (answer.failed()) {
    set.facts.state = MxState::kFailed;
    set.facts.reason = answer.failure;
    if (answer.servfail) set.facts.failed = {key.domain, DnsType::kMx};
    co_return set;
  }
  set.facts.state = answer.secure ? MxState::kSecure : MxState::kInsecure;
  if (answer.kind == DnsAnswer::Kind::kNxDomain) {
    set.facts.nxdomain = true;
    co_return set;
  }
  if (answer.kind == DnsAnswer::Kind::kNoData) {
    // RFC 5321 section 5.1: the domain is its own MX, as secure as this answer.
    set.facts.implicit = true;
    set.hosts = {key.domain};
    co_return set;
  }
  if (answer.mx.size() == 1 && answer.mx[0].exchange.empty()) {
    set.facts.null_mx = true;  // RFC 7505
    co_return set;
  }
  SortByPreference(answer.mx);
  for (const MxRecord& record : answer.mx) {
    if (record.exchange.empty() ||
        std::find(set.hosts.begin(), set.hosts.end(), record.exchange) !=
            set.hosts.end())
      continue;
    if (set.hosts.size() < kMaxHosts)
      set.hosts.push_back(record.exchange);
    else
      ++set.facts.unexamined;
  }
  co_return set;
}

Awaitable<HostFacts> DaneLookup::FindHost(std::string host, uint16_t port) {
  HostFacts facts;
  facts.name = host;
  if (!IsNormalDomain(host)) {
    // Postfix drops such a name, too ("malformed domain name").
    facts.name.resize(std::min(facts.name.size(), kMaxToldName));
    facts.state = HostState::kNoAddress;
    facts.reason = "not a valid host name";
    facts.ttl = Seconds(3600);
    co_return facts;
  }
  const Addresses addresses = co_await FindAddresses(host);
  facts.ttl = addresses.ttl;
  facts.reason = addresses.reason;
  // The names to look for TLSA at, in order (RFC 7672 section 2.2.3).
  std::vector<std::string> bases;
  switch (addresses.state) {
    case Addresses::State::kFailed:
      facts.state = HostState::kUnknown;
      if (addresses.failed) facts.failed = {host, *addresses.failed};
      co_return facts;
    case Addresses::State::kNone:
      facts.state = HostState::kNoAddress;
      co_return facts;
    case Addresses::State::kSecure:
      facts.secure_address = true;
      bases.push_back(addresses.canonical_name);
      if (addresses.is_alias) bases.push_back(host);
      break;
    case Addresses::State::kInsecure: {
      if (!addresses.is_alias) {
        // Section 2.2.2: no TLSA lookup; servers of unsigned zones often
        // break on it.
        facts.state = HostState::kNone;
        co_return facts;
      }
      // The alias itself may be signed where its target is not.
      const DnsAnswer alias = co_await resolver_.Query(host, DnsType::kCname);
      facts.ttl = std::min(facts.ttl, alias.ttl);
      if (alias.failed()) {
        facts.state = HostState::kUnknown;
        facts.reason = "CNAME lookup: " + alias.failure;
        if (alias.servfail) facts.failed = {host, DnsType::kCname};
        co_return facts;
      }
      if (!alias.has_data() || !alias.secure) {
        facts.state = HostState::kNone;
        co_return facts;
      }
      facts.reason = "insecure address behind a secure alias";
      bases.push_back(host);
      break;
    }
  }
  for (const std::string& base : bases) {
    const std::string name = "_" + std::to_string(port) + "._tcp." + base;
    DnsAnswer answer = co_await resolver_.Query(name, DnsType::kTlsa);
    facts.ttl = std::min(facts.ttl, answer.ttl);
    if (answer.failed()) {
      // Section 2.1.2: treated as unreachable, never as "no record".
      facts.state = HostState::kUnknown;
      facts.reason = "TLSA lookup of " + name + ": " + answer.failure;
      if (answer.servfail) facts.failed = {name, DnsType::kTlsa};
      co_return facts;
    }
    if (!answer.has_data() || !answer.secure) continue;
    facts.tlsa_base = base;
    TakeTlsa(std::move(answer.tlsa), facts);
    co_return facts;
  }
  facts.state = HostState::kNone;
  co_return facts;
}

Awaitable<DaneLookup::Addresses> DaneLookup::FindAddresses(std::string host) {
  const auto queries = AskForAddresses(executor_, clock_, resolver_, host);
  co_await queries->one.WaitUntil(clock_.Now() + kQueryBound);
  // An insecure address settles it. Beside a secure one the other family may
  // still have an insecure one; a family that does not answer is one that has
  // failed: a slow or broken AAAA must not hold mail.
  if (!HasInsecureAddress(*queries))
    co_await queries->both.WaitUntil(clock_.Now() + kLateFamily);
  Addresses addresses = Judge(*queries);
  if (addresses.canonical_name.empty()) addresses.canonical_name = host;
  co_return addresses;
}

DaneLookup::Addresses DaneLookup::Judge(const AddressQueries& queries) {
  Addresses result;
  bool any_failed = false;
  bool any_secure_address = false;
  result.ttl = Seconds(3600);
  for (const auto* family : {&queries.v4, &queries.v6}) {
    const char* name = family == &queries.v4 ? "A" : "AAAA";
    if (!*family) continue;
    const DnsAnswer& answer = **family;
    if (answer.failed()) {
      any_failed = true;
      result.reason = std::string(name) + " lookup: " + answer.failure;
      if (answer.servfail)
        result.failed = family == &queries.v4 ? DnsType::kA : DnsType::kAaaa;
      continue;
    }
    result.ttl = std::min(result.ttl, answer.ttl);
    any_secure_address |= answer.has_data() && answer.secure;
    if (answer.is_alias) result.is_alias = true;
    if (answer.has_data()) result.canonical_name = answer.canonical_name;
  }
  // RFC 7672 section 2.2.2. That a family has no address proves nothing where
  // it is not signed: it counts as little as the answer does.
  if (HasInsecureAddress(queries)) {
    result.state = Addresses::State::kInsecure;
    result.reason = "its address is not secured by DNSSEC";
  } else if (any_secure_address) {
    result.state = Addresses::State::kSecure;
    result.reason.clear();
  } else if (any_failed || !queries.v4 || !queries.v6) {
    result.state = Addresses::State::kFailed;
    if (result.reason.empty()) result.reason = "address lookup timed out";
  } else {
    result.state = Addresses::State::kNone;
    result.reason = "it has no address";
  }
  return result;
}

}  // namespace postern
