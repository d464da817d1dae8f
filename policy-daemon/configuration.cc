#include "policy-daemon/configuration.h"

#include "common/getdns_resolver.h"

namespace postern {

Result<Configuration> LoadConfiguration(Options options) {
  Configuration configuration;
  auto dns = WithServers(options.dns);
  if (!dns) return dns.error();
  options.dns = std::move(*dns);
  auto overrides = LoadOverrides(options.policy.overrides, LoadServicePorts());
  if (!overrides) return overrides.error();
  configuration.overrides = std::move(*overrides);
  auto trust = BeastHttps::LoadTrust(options.sts.ca_file, "sts.ca_file");
  if (!trust) return trust.error();
  configuration.trust = std::move(*trust);
  configuration.options = std::move(options);
  return configuration;
}

}  // namespace postern
