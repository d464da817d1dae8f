// DNS as the program sees it: typed answers with their security.
//
// Resolver is the seam: GetdnsResolver asks real servers, the tests answer
// from a table. An answer is data also where the lookup failed; only the
// table of decisions judges what a failure means (RFC 7672 section 2.1).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/ip_address.h"

namespace postern {

enum class DnsType : uint16_t {
  kA = 1,
  kCname = 5,
  kSoa = 6,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28,
  kTlsa = 52,
};

std::string_view DnsTypeName(DnsType type);

struct DnsQuestion {
  std::string name;
  DnsType type = DnsType::kA;

  friend bool operator==(const DnsQuestion&, const DnsQuestion&) = default;
};

struct MxRecord {
  uint16_t preference = 0;
  std::string exchange;  // lower case, no trailing dot; "" is the root
};

struct TlsaRecord {
  uint8_t usage = 0;
  uint8_t selector = 0;
  uint8_t matching_type = 0;
  std::string data;  // raw bytes

  friend bool operator==(const TlsaRecord&, const TlsaRecord&) = default;
};

struct DnsAnswer {
  enum class Kind {
    kData,      // at least one record of the type
    kNoData,    // the name exists, the type does not
    kNxDomain,  // the name does not exist
    kFailed,    // SERVFAIL (bogus, too), timeout, malformed, refused
  };
  Kind kind = Kind::kFailed;
  // Validated by a resolver that we trust; the whole CNAME chain with it.
  bool secure = false;
  std::string failure;    // kFailed: why, for a person
  bool servfail = false;  // kFailed: by the resolver's word, not its silence
  // The smallest TTL of all records used; for kNoData and kNxDomain the SOA's
  // negative TTL (RFC 2308 section 5), 0 without SOA.
  Seconds ttl{0};
  bool is_alias = false;       // the name asked for is a CNAME
  std::string canonical_name;  // the end of the CNAME chain

  // Filled by type.
  std::vector<MxRecord> mx;
  std::vector<IpAddress> addresses;
  std::vector<std::string> txt;  // strings of one record joined
  std::vector<TlsaRecord> tlsa;

  bool failed() const { return kind == Kind::kFailed; }
  bool has_data() const { return kind == Kind::kData; }
  bool insecure() const { return !failed() && !secure; }
};

// Whether answers can be secure at all.
enum class DnssecState {
  kOn,       // a resolver that we trust validates, or none was asked yet
  kDoubted,  // it did; its last probe says otherwise, and more must agree
  kOff,      // none does
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // Ends within the resolver's own timeout. `name`: normal form.
  virtual Awaitable<DnsAnswer> Query(std::string name, DnsType type) = 0;
  // What is in DNS, whether or not it can be validated (the CD bit): where
  // this has an answer and Query() fails, the data is bogus. Never secure.
  virtual Awaitable<DnsAnswer> QueryUnchecked(std::string name,
                                              DnsType type) = 0;
  virtual DnssecState Dnssec() const = 0;
  bool Validates() const { return Dnssec() != DnssecState::kOff; }
};

}  // namespace postern
