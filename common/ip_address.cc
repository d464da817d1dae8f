#include "common/ip_address.h"

#include <algorithm>

#include <arpa/inet.h>

#include "common/text.h"

namespace postern {
namespace {

IpPrefix Prefix(std::string_view text) { return *IpPrefix::Parse(text); }

// IANA special-purpose registries (RFC 6890 and updates), multicast and class
// E: everything that is not a host on the public internet.
const std::vector<IpPrefix>& NonGlobalPrefixes() {
  static const std::vector<IpPrefix> prefixes = {
      Prefix("0.0.0.0/8"),      Prefix("10.0.0.0/8"),
      Prefix("100.64.0.0/10"),  Prefix("127.0.0.0/8"),
      Prefix("169.254.0.0/16"), Prefix("172.16.0.0/12"),
      Prefix("192.0.0.0/24"),   Prefix("192.0.2.0/24"),
      Prefix("192.88.99.0/24"), Prefix("192.168.0.0/16"),
      Prefix("198.18.0.0/15"),  Prefix("198.51.100.0/24"),
      Prefix("203.0.113.0/24"), Prefix("224.0.0.0/3"),
      Prefix("2001::/23"),      Prefix("2001:db8::/32"),
      Prefix("3fff::/20"),
  };
  return prefixes;
}

// The IPv4 address inside a v6 address of the given prefix, starting at byte
// `offset`.
struct Embedding {
  IpPrefix prefix;
  size_t offset;
};

const std::vector<Embedding>& Embeddings() {
  static const std::vector<Embedding> embeddings = {
      {Prefix("::ffff:0:0/96"), 12},  // IPv4-mapped
      {Prefix("64:ff9b::/96"), 12},   // NAT64, RFC 6052
      {Prefix("2002::/16"), 2},       // 6to4
  };
  return embeddings;
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  IpAddress address;
  if (inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1)
    return address;
  address.v6 = true;
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1)
    return address;
  return std::nullopt;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
  return text;
}

bool IpAddress::IsLoopback() const {
  static const IpPrefix v4 = Prefix("127.0.0.0/8");
  static const IpPrefix v6_loopback = Prefix("::1/128");
  return v4.Contains(*this) || v6_loopback.Contains(*this);
}

std::optional<IpPrefix> IpPrefix::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const int bits = address->v6 ? 128 : 32;
  if (slash == std::string_view::npos) return IpPrefix{*address, bits};
  const auto length =
      ParseUint(text.substr(slash + 1), static_cast<uint64_t>(bits));
  if (!length) return std::nullopt;
  return IpPrefix{*address, static_cast<int>(*length)};
}

bool IpPrefix::Contains(const IpAddress& other) const {
  if (other.v6 != address.v6) return false;
  for (int bit = 0; bit < length; bit += 8) {
    const auto index = static_cast<size_t>(bit / 8);
    const int rest = std::min(8, length - bit);
    const int mask = 0xff << (8 - rest);
    if ((address.bytes[index] & mask) != (other.bytes[index] & mask))
      return false;
  }
  return true;
}

bool IsGlobal(const IpAddress& address) {
  for (const Embedding& embedding : Embeddings()) {
    if (!embedding.prefix.Contains(address)) continue;
    IpAddress v4;
    std::copy_n(address.bytes.begin() + static_cast<long>(embedding.offset), 4,
                v4.bytes.begin());
    return IsGlobal(v4);
  }
  // All that IANA has given out for hosts.
  static const IpPrefix global_unicast = Prefix("2000::/3");
  if (address.v6 && !global_unicast.Contains(address)) return false;
  const auto& prefixes = NonGlobalPrefixes();
  return std::none_of(
      prefixes.begin(), prefixes.end(),
      [&](const IpPrefix& prefix) { return prefix.Contains(address); });
}

bool AddressFilter::Allows(const IpAddress& address) const {
  return allow_all || IsGlobal(address) ||
         std::any_of(
             allowed.begin(), allowed.end(),
             [&](const IpPrefix& prefix) { return prefix.Contains(address); });
}

}  // namespace postern
