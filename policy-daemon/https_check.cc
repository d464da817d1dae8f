#include "policy-daemon/https_check.h"

#include <functional>
#include <optional>

#include <boost/asio/io_context.hpp>

#include "common/accounts.h"
#include "common/domain_name.h"
#include "common/getdns_resolver.h"
#include "common/host_addresses.h"
#include "common/https_proxy.h"
#include "common/loop_clock.h"
#include "common/metrics.h"

#include "policy-daemon/sts_policy.h"
#include "policy-daemon/sts_record.h"

namespace postern {
namespace {

// Of everything together.
constexpr std::chrono::seconds kPatience{60};
constexpr Seconds kFetchPatience{10};

constexpr char kEffect[] =
    ": domains whose policy is not remembered would count as without MTA-STS. ";

// Of which a policy may be fetched, the likeliest first.
std::vector<std::string> OwnDomainsOf(const PostfixSettings& postfix,
                                      const Options& options) {
  const std::string& contact = options.report.contact_info;
  std::vector<std::string> domains;
  for (const std::string& name :
       {contact.substr(contact.find('@') + 1), postfix.Effective("mydomain")})
    if (const auto domain = NormalizeDomain(name)) domains.push_back(*domain);
  return domains;
}

class HttpsCheck {
 public:
  HttpsCheck(boost::asio::io_context& loop, LoopClock& clock,
             Resolver& resolver, const Configuration& configuration)
      : loop_(loop),
        clock_(clock),
        resolver_(resolver),
        https_(loop, configuration.trust),
        options_(configuration.options.sts) {}

  // `warning` stays empty where all is well.
  Awaitable<void> Run(std::vector<std::string> domains, std::string& warning) {
    co_await Try(std::move(domains), warning);
    loop_.stop();
  }

 private:
  Awaitable<void> Try(std::vector<std::string> domains, std::string& warning) {
    std::optional<std::string> with_policy;
    for (const std::string& domain : domains) {
      const std::string name = "_mta-sts." + domain;
      const DnsAnswer answer = co_await resolver_.Query(name, DnsType::kTxt);
      if (!with_policy &&
          ParseStsRecords(answer.txt).state == StsRecord::State::kValid)
        with_policy = domain;
    }
    const auto proxy = ProxyName::Parse(options_.proxy);
    if (!with_policy && !proxy) co_return;
    // The proxy's own word counts also for a host that there is not.
    HttpsRequest get;
    get.host = "mta-sts." + (with_policy       ? *with_policy
                             : domains.empty() ? "invalid"
                                               : domains.front());
    get.port = options_.port;
    get.path = "/.well-known/mta-sts.txt";
    get.max_body = kMaxPolicyBytes;
    if (proxy) {
      get.proxy =
          co_await FindProxy(loop_.get_executor(), clock_, resolver_, *proxy);
    } else {
      const HostAddresses addresses =
          co_await AddressesOf(loop_.get_executor(), clock_, resolver_,
                               get.host, options_.allow_private);
      // That is trouble with DNS, or with our own zone.
      if (addresses.usable.empty()) co_return;
      get.address = addresses.usable.front();
    }
    get.deadline = get.connect_deadline = clock_.Now() + kFetchPatience;
    const std::string host = get.host;
    const HttpsResponse answer = co_await https_.Ask(std::move(get));
    if (answer.failure == HttpsFailure::kLocal && proxy)
      warning = "sts.proxy: no HTTPS goes through it (" + answer.detail + ")" +
                kEffect +
                "Correct sts.proxy, or let the proxy CONNECT to port 443 of "
                "any host";
    else if (with_policy && answer.failure != HttpsFailure::kNone &&
             answer.failure != HttpsFailure::kTooLarge)
      warning = "a policy file of your own could not be fetched from https://" +
                host + " (" + answer.detail +
                "). If no other host can be reached either" + kEffect +
                "Let HTTPS out (firewall, TCP port 443), or set sts.proxy";
  }

  boost::asio::io_context& loop_;
  LoopClock& clock_;
  Resolver& resolver_;
  BeastHttps https_;
  const Options::Sts& options_;
};

// In a process that ends behind it. What it makes is left to that end: queries
// that still wait hold references into what would go first.
std::string Warning(const std::vector<std::string>& domains,
                    const Configuration& configuration) {
  auto& loop = *new boost::asio::io_context(1);
  auto& clock = *new LoopClock(loop);
  auto& metrics = *new Metrics;
  auto created =
      GetdnsResolver::Create(loop, clock, configuration.options.dns, metrics);
  if (!created) return created.error().message;
  Resolver& resolver = *created->release();
  auto& check = *new HttpsCheck(loop, clock, resolver, configuration);
  std::string warning;
  Spawn(loop.get_executor(), check.Run(domains, warning));
  loop.run();
  return warning;
}

}  // namespace

std::vector<std::string> HttpsWarnings(const PostfixSettings& postfix,
                                       const Configuration& configuration) {
  const Options& options = configuration.options;
  const auto domains = OwnDomainsOf(postfix, options);
  if (domains.empty() && options.sts.proxy.empty()) return {};
  std::function<std::string()> work = [&] {
    return Warning(domains, configuration);
  };
  const auto said = DoneAs(PolicyCommandAccount(options), kPatience, work);
  if (!said) return {"HTTPS could not be tried: " + said.error().message};
  if (said->empty()) return {};
  return {*said};
}

}  // namespace postern
