// What Postfix asks about: the literal next-hop of a delivery.
//
//   example.com  example.com:587  example.com:submission   recipient domain
//   [mx.example.com]  [mx.example.com]:587                  that host, no MX
//   .example.com  192.0.2.1  [192.0.2.1]  unix:/path  ...   nothing to look up
//
// Only the brackets switch the MX lookup off, as in Postfix.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

// A key over this is no name with a port; it is answered NOTFOUND unread.
inline constexpr size_t kMaxKeyLength = 255;

inline constexpr uint16_t kSmtpPort = 25;

struct PolicyKey {
  // The policy domain: normal form (see common/domain_name.h).
  std::string domain;
  uint16_t port = kSmtpPort;
  bool is_host = false;  // in brackets: the MX lookup is off

  // One spelling for all that mean the same; parses to itself.
  std::string ToString() const;
};

// Names of TCP services, as in /etc/services.
using ServicePorts = std::map<std::string, uint16_t, std::less<>>;
ServicePorts LoadServicePorts();

// nullopt: answer NOTFOUND without any lookup.
std::optional<PolicyKey> ParsePolicyKey(std::string_view text,
                                        const ServicePorts& services);

}  // namespace postern
