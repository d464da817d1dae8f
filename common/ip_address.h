// IP addresses and prefixes, and which of them are global.
//
// Why: whoever can make us send mail to his domain can make us open HTTPS to
// an address of his choosing. IsGlobal() is what keeps that from reaching the
// inside of the network (the registries of RFC 6890).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

struct IpAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 in the first four

  static std::optional<IpAddress> Parse(std::string_view text);
  std::string ToString() const;
  bool IsLoopback() const;
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

struct IpPrefix {
  IpAddress address;
  int length = 0;  // bits: 0..32 or 0..128

  // "192.0.2.0/24", "2001:db8::/32"; a bare address is a prefix of itself.
  static std::optional<IpPrefix> Parse(std::string_view text);
  bool Contains(const IpAddress& address) const;
};

// False for loopback, private, link-local, multicast, documentation,
// carrier-grade NAT, benchmarking, unspecified and reserved addresses, and for
// IPv6 addresses that carry such an IPv4 address (mapped, NAT64, 6to4).
bool IsGlobal(const IpAddress& address);

// The addresses that we may open connections to: every global one, and what
// the administrator listed (sts.allow_private).
struct AddressFilter {
  bool allow_all = false;
  std::vector<IpPrefix> allowed;

  bool Allows(const IpAddress& address) const;
};

}  // namespace postern
