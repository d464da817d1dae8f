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
  // Where this machine's programs ask: a socket of all addresses at the
  // loopback's (one of IPv6 serves IPv4, too).
  ListenAddress Asked() const;

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
