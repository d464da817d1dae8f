// "unix:PATH" and "inet:HOST:PORT", as Postfix writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/ip_address.h"

namespace postern {

struct ListenAddress {
  std::string unix_path;  // empty: TCP
  IpAddress address;
  uint16_t port = 0;

  // HOST is an IP address (brackets around IPv6) or "localhost".
  static std::optional<ListenAddress> Parse(std::string_view text);
  bool is_unix() const { return !unix_path.empty(); }
  std::string ToString() const;
  // A TCP socket of all addresses; one of IPv6's serves IPv4, too.
  bool is_any() const;
  // Does who asks there, on this machine, come to a socket of this address?
  bool IsReachedAt(const ListenAddress& asked) const;

  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

// "192.0.2.1", "192.0.2.1:53", "[2001:db8::1]:53", "2001:db8::1".
struct AddressAndPort {
  IpAddress address;
  uint16_t port = 0;

  static std::optional<AddressAndPort> Parse(std::string_view text,
                                             uint16_t default_port);
  std::string ToString() const;

  friend bool operator==(const AddressAndPort&,
                         const AddressAndPort&) = default;
};

}  // namespace postern
