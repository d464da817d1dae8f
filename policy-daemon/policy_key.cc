#include "policy-daemon/policy_key.h"

#include <netdb.h>
#include <netinet/in.h>

#include "common/domain_name.h"
#include "common/ip_address.h"
#include "common/text.h"

namespace postern {
namespace {

std::optional<uint16_t> ParsePort(std::string_view text,
                                  const ServicePorts& services) {
  if (const auto number = ParseUint(text, 65535); number && *number > 0)
    return static_cast<uint16_t>(*number);
  const auto service = services.find(text);
  if (service == services.end()) return std::nullopt;
  return service->second;
}

}  // namespace

std::string PolicyKey::ToString() const {
  std::string text = is_host ? "[" + domain + "]" : domain;
  if (port != kSmtpPort) text += ":" + std::to_string(port);
  return text;
}

ServicePorts LoadServicePorts() {
  ServicePorts services;
  setservent(0);
  while (const servent* entry = getservent()) {
    if (std::string_view(entry->s_proto) != "tcp") continue;
    const uint16_t port = ntohs(static_cast<uint16_t>(entry->s_port));
    services.emplace(entry->s_name, port);
    for (char** alias = entry->s_aliases; *alias; ++alias)
      services.emplace(*alias, port);
  }
  endservent();
  // Where /etc/services is missing, Postfix's own names still work.
  services.emplace("smtp", 25);
  services.emplace("submission", 587);
  return services;
}

std::optional<PolicyKey> ParsePolicyKey(std::string_view text,
                                        const ServicePorts& services) {
  if (text.empty() || text.size() > kMaxKeyLength) return std::nullopt;
  // A parent key: half of all that Postfix asks; RFC 8461 section 3.4 forbids
  // to answer it from the parent's policy.
  if (text.front() == '.') return std::nullopt;
  PolicyKey key;
  std::string_view name = text;
  std::string_view port;
  bool has_port = false;
  if (text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    key.is_host = true;
    name = text.substr(1, close - 1);
    port = text.substr(close + 1);
    has_port = !port.empty();
    if (has_port && port.front() != ':') return std::nullopt;
    if (has_port) port.remove_prefix(1);
  } else if (const size_t colon = text.find(':');
             colon != std::string_view::npos) {
    has_port = true;
    name = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (has_port) {
    const auto number = ParsePort(port, services);
    if (!number) return std::nullopt;
    key.port = *number;
  }
  // "[ipv6:...]" and bare literals hold no policy domain.
  if (IpAddress::Parse(name)) return std::nullopt;
  const auto domain = NormalizeDomain(name);
  if (!domain) return std::nullopt;
  // A transport's endpoint, not a host with a port.
  if (has_port && !key.is_host && (domain == "unix" || domain == "inet"))
    return std::nullopt;
  key.domain = *domain;
  return key;
}

}  // namespace postern
