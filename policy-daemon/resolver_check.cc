#include "policy-daemon/resolver_check.h"

#include <filesystem>
#include <functional>
#include <sstream>

#include <boost/asio/io_context.hpp>

#include "common/accounts.h"
#include "common/getdns_resolver.h"
#include "common/loop_clock.h"
#include "common/metrics.h"

namespace postern {
namespace {

// Of all servers together.
constexpr std::chrono::seconds kPatience{60};

Awaitable<void> ProbeAll(GetdnsResolver& resolver,
                         boost::asio::io_context& loop) {
  co_await resolver.Probe();
  loop.stop();
}

// Each is asked alone.
std::vector<std::string> ServersThatDoNotValidate(
    const std::vector<AddressAndPort>& servers, TrustAd trust_ad) {
  std::vector<std::string> bad;
  for (const AddressAndPort& server : servers) {
    const Options::Dns dns{{server}, std::chrono::seconds(5), trust_ad};
    // Left to the end of the process: getdns may still hold an idle timer on
    // the loop.
    auto* loop = new boost::asio::io_context(1);
    auto* clock = new LoopClock(*loop);
    auto* metrics = new Metrics;
    auto resolver = GetdnsResolver::Create(*loop, *clock, dns, *metrics);
    if (!resolver) continue;
    Spawn(loop->get_executor(), ProbeAll(**resolver, *loop));
    loop->run();
    if (!(*resolver)->KnownToValidate()) bad.push_back(server.ToString());
    static_cast<void>(resolver->release());
  }
  return bad;
}

void CheckResolvConf(const std::string& path,
                     std::vector<std::string>& warnings) {
  const auto servers = ReadResolvConf(path);
  if (servers.empty()) {
    warnings.push_back(path + " names no DNS server");
    return;
  }
  // Postfix believes the AD bit of whatever its resolv.conf names.
  for (const std::string& server :
       ServersThatDoNotValidate(servers, TrustAd::kYes))
    warnings.push_back(
        "Postfix's DNS server " + server + " (" + path +
        ") does not validate DNSSEC: every dane-only answer would defer mail. "
        "Run a validating resolver (unbound) on 127.0.0.1, or set "
        "dane.enabled = no");
}

std::vector<std::string> Probed(const PostfixSettings& postfix,
                                const Options::Dns& dns) {
  std::vector<std::string> warnings;
  CheckResolvConf("/etc/resolv.conf", warnings);
  const std::string copy = postfix.queue_directory() + "/etc/resolv.conf";
  std::error_code none;
  if (postfix.smtp_is_chrooted() && std::filesystem::exists(copy, none))
    CheckResolvConf(copy, warnings);
  for (const std::string& server :
       ServersThatDoNotValidate(dns.servers, dns.trust_ad))
    warnings.push_back("dns.server: " + server +
                       " does not answer, or does not validate DNSSEC: "
                       "postern-policy could not tell what hosts promise");
  return warnings;
}

}  // namespace

std::vector<std::string> ResolverWarnings(const PostfixSettings& postfix,
                                          const Options& options) {
  std::function<std::string()> probe = [&] {
    std::string lines;
    for (const std::string& warning : Probed(postfix, options.dns))
      lines += warning + '\n';
    return lines;
  };
  const auto said = DoneAs(PolicyCommandAccount(options), kPatience, probe);
  if (!said)
    return {"the resolvers could not be asked: " + said.error().message};
  std::vector<std::string> warnings;
  std::istringstream lines(*said);
  for (std::string line; std::getline(lines, line);) warnings.push_back(line);
  return warnings;
}

}  // namespace postern
