#include "policy-daemon/resolver_check.h"

#include <filesystem>
#include <functional>
#include <sstream>

#include <boost/asio/io_context.hpp>

#include "common/accounts.h"
#include "common/getdns_resolver.h"
#include "common/loop_clock.h"
#include "common/metrics.h"
#include "common/resolv_conf.h"

namespace postern {
namespace {

// Of all servers together.
constexpr std::chrono::seconds kPatience{60};
constexpr Seconds kTimeout{5};

Awaitable<void> ProbeAll(GetdnsResolver& resolver,
                         boost::asio::io_context& loop) {
  co_await resolver.Probe();
  loop.stop();
}

// What the daemon's resolver finds wrong with the servers, in its words.
std::vector<std::string> Probe(const Options::Dns& dns) {
  boost::asio::io_context loop(1);
  LoopClock clock(loop);
  Metrics metrics;
  const auto resolver = GetdnsResolver::Create(loop, clock, dns, metrics);
  if (!resolver) return {resolver.error().message};
  Spawn(loop.get_executor(), ProbeAll(**resolver, loop));
  loop.run();
  return (*resolver)->Troubles();
}

void CheckResolvConf(const std::string& path,
                     std::vector<std::string>& warnings) {
  const auto servers = ReadResolvConf(path);
  if (servers.empty()) {
    warnings.push_back(path + " names no DNS server");
    return;
  }
  // Postfix believes the AD bit of whatever its resolv.conf names, and asks
  // each: so each is probed alone.
  for (const AddressAndPort& server : servers)
    if (!Probe({{server}, kTimeout, TrustAd::kYes}).empty())
      warnings.push_back(
          "Postfix's DNS server " + server.ToString() + " (" + path +
          ") does not answer, or does not validate DNSSEC: every dane-only "
          "answer would defer mail. Run a validating resolver (unbound) on "
          "127.0.0.1, or set dane.enabled = no");
}

std::vector<std::string> Probed(const PostfixSettings& postfix,
                                const Options::Dns& dns) {
  std::vector<std::string> warnings;
  CheckResolvConf(kResolvConf, warnings);
  const std::string copy = postfix.queue_directory() + "/etc/resolv.conf";
  std::error_code none;
  if (postfix.smtp_is_chrooted() && std::filesystem::exists(copy, none))
    CheckResolvConf(copy, warnings);
  const std::string from =
      dns.servers.empty() ? "the resolver of /etc/resolv.conf " : "dns.server ";
  for (const std::string& trouble : Probe(dns))
    warnings.push_back(from + trouble);
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
