#include "policy-daemon/configuration.h"

#include "common/resolv_conf.h"

namespace postern {

Result<Configuration> LoadConfiguration(Options options) {
  Configuration configuration;
  const auto servers = DnsServersOf(options.dns);
  if (!servers) return servers.error();
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
