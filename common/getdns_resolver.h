// The real Resolver: getdns as a stub that asks validating resolvers.
//
// Security is the AD bit of a resolver that we may trust (dns.trust_ad:
// loopback only by default), as in Postfix. getdns's own validation is not
// used (slow, and wrong under load). Each resolver is asked for ". SOA" at
// start and every minute: only if that comes with AD does it validate.
//
// A truncated answer is asked for again over TCP, in a getdns context of its
// own: getdns's own fallback lends the connection to each question, and every
// question that is cancelled or late closes it (getdns 1.6 and 1.7). By then
// the descriptor may be somebody else's: a client's, the listener, the policy
// file.
//
// A datagram can get lost: a question is repeated after kResendAfter, to the
// next server where there are several. Servers known not to validate are left
// out as long as there is one: a fallback to another would read as "insecure".
//
// Logged: a server that stops or starts to validate or to answer.
#pragma once

#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "common/dns.h"
#include "common/event.h"
#include "common/gate.h"
#include "common/getdns_loop.h"
#include "common/listen_address.h"
#include "common/metrics.h"
#include "common/options.h"

namespace postern {

class GetdnsResolver final : public Resolver {
 public:
  // `loop`, `clock` and `metrics` outlive the resolver. `options`: with
  // servers (see WithServers).
  static Result<std::unique_ptr<GetdnsResolver>> Create(
      boost::asio::io_context& loop, Clock& clock, const Options::Dns& options,
      Metrics& metrics);
  // For the questions to come; what is asked already ends as it began. After
  // an Error nothing has changed.
  Status Use(const Options::Dns& options);
  ~GetdnsResolver() override;

  Awaitable<DnsAnswer> Query(std::string name, DnsType type) override;
  Awaitable<DnsAnswer> QueryUnchecked(std::string name, DnsType type) override;
  DnssecState Dnssec() const override;

  // True only after an answer has shown it.
  bool KnownToValidate() const;

  // Asks each server once whether it validates.
  Awaitable<void> Probe();
  // Repeats that every minute, for ever.
  Awaitable<void> KeepProbing();

 private:
  enum class Validation { kUnknown, kYes, kNo };
  struct ContextDestroy {
    void operator()(getdns_context* context) const {
      getdns_context_destroy(context);
    }
  };
  using Context = std::unique_ptr<getdns_context, ContextDestroy>;
  struct Server {
    AddressAndPort address;
    Context context;       // for UDP
    bool trusted = false;  // its AD bit may be believed
    bool answers = true;
    Validation validation = Validation::kUnknown;
  };
  // Shared with the questions on their way: a reload replaces the servers.
  using Servers = std::vector<std::shared_ptr<Server>>;
  struct Pending;
  struct Attempt;

  GetdnsResolver(boost::asio::io_context& loop, Clock& clock, Metrics& metrics);
  Result<std::shared_ptr<Server>> MakeServer(const AddressAndPort& address,
                                             const Options::Dns& options);
  // Asks `address` over `transport`. Null: getdns cannot.
  Context MakeContext(const AddressAndPort& address,
                      std::chrono::milliseconds timeout,
                      getdns_transport_list_t transport);
  // The servers to ask, best first.
  Servers ServersToAsk();
  // A probe does not wait behind a flood of questions.
  enum class Purpose { kQuestion, kUnchecked, kProbe };
  Awaitable<DnsAnswer> Ask(Servers servers, std::string name, DnsType type,
                           Purpose purpose);
  void Send(Server& server, const std::shared_ptr<Pending>& pending);
  static void OnAnswer(getdns_context* context, getdns_callback_type_t type,
                       getdns_dict* response, void* attempt,
                       getdns_transaction_t id) noexcept;
  // Probes out of turn, unless that was done just now.
  void ProbeSoon();
  // Logged once, until it answers a probe again.
  void NoteSilence(Server& server, const std::string& reason);
  void JudgeProbe(Server& server, const DnsAnswer& answer);

  Clock& clock_;
  boost::asio::any_io_executor executor_;
  GetdnsLoop getdns_loop_;
  Gate<int> gate_;
  Options::Dns options_;
  Servers servers_;
  SteadyTime next_extra_probe_{};
  prometheus::Counter& queries_;
  prometheus::Counter& failures_;
  prometheus::Gauge& validates_;
  prometheus::Histogram& seconds_;
};

// The options with the servers that they mean: those of /etc/resolv.conf where
// none are given. Blocks.
Result<Options::Dns> WithServers(Options::Dns options);

// The name servers of a resolv.conf, in order; empty if it cannot be read.
std::vector<AddressAndPort> ReadResolvConf(const std::string& path);

}  // namespace postern
