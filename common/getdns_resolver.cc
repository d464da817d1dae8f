#include "common/getdns_resolver.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "common/getdns_answer.h"
#include "common/text.h"

namespace postern {
namespace {

using std::chrono::milliseconds;

// Long enough for a resolver that has the answer at hand, short enough to
// repeat several times within the timeout.
constexpr milliseconds kResendAfter{1200};
constexpr Seconds kProbeInterval{60};
// Sockets open at a time; more questions wait their turn.
constexpr size_t kMaxInFlight = 4096;
// What passes every path unfragmented (DNS flag day 2020).
constexpr uint16_t kEdnsPayload = 1232;

struct DictDestroy {
  void operator()(getdns_dict* dict) const { getdns_dict_destroy(dict); }
};
struct ListDestroy {
  void operator()(getdns_list* list) const { getdns_list_destroy(list); }
};
using DictPtr = std::unique_ptr<getdns_dict, DictDestroy>;
using ListPtr = std::unique_ptr<getdns_list, ListDestroy>;

DictPtr HeaderExtension(const char* bit) {
  DictPtr dict(getdns_dict_create());
  getdns_dict_set_int(dict.get(), bit, 1);
  return dict;
}

// Asks for the AD bit without the records that prove it (RFC 6840 section
// 5.7).
getdns_dict* AdExtension() {
  static const DictPtr extension = HeaderExtension("/header/ad");
  return extension.get();
}

// What is bogus, too (RFC 4035 section 3.2.2).
getdns_dict* CdExtension() {
  static const DictPtr extension = HeaderExtension("/header/cd");
  return extension.get();
}

bool SetUpstream(getdns_context* context, const AddressAndPort& server) {
  const IpAddress& ip = server.address;
  std::string type = ip.v6 ? "IPv6" : "IPv4";
  auto bytes = ip.bytes;
  getdns_bindata type_data{4, reinterpret_cast<uint8_t*>(type.data())};
  getdns_bindata address_data{ip.v6 ? size_t{16} : size_t{4}, bytes.data()};
  const DictPtr dict(getdns_dict_create());
  const ListPtr list(getdns_list_create());
  return dict && list &&
         !getdns_dict_set_bindata(dict.get(), "address_type", &type_data) &&
         !getdns_dict_set_bindata(dict.get(), "address_data", &address_data) &&
         !getdns_dict_set_int(dict.get(), "port", server.port) &&
         !getdns_list_set_dict(list.get(), 0, dict.get()) &&
         !getdns_context_set_upstream_recursive_servers(context, list.get());
}

// getdns 1.6 looks one beyond its list of transports for one to fall back to;
// it must find none there.
void* AllocateZeroed(size_t size) { return std::calloc(1, size); }

bool IsTruncated(const getdns_dict* response) {
  uint32_t truncated = 0;
  return !getdns_dict_get_int(response, "/replies_tree/0/header/tc",
                              &truncated) &&
         truncated != 0;
}

DnsAnswer Failure(std::string reason) {
  DnsAnswer answer;
  answer.failure = std::move(reason);
  return answer;
}

}  // namespace

// One question, on its way to one or more servers. Shared by the coroutine
// that asks and by getdns, as the argument of each attempt.
struct GetdnsResolver::Pending {
  std::string name;
  DnsType type = DnsType::kA;
  bool unchecked = false;           // whether or not it validates
  std::optional<DnsAnswer> answer;  // a good one, or the last failure
  bool replied = false;             // by any server, whatever it said
  bool truncated = false;           // over UDP: TCP from now on
  size_t outstanding = 0;
  std::shared_ptr<Event> progress;
  std::vector<std::pair<getdns_context*, getdns_transaction_t>> transactions;
  // A connection for each attempt; gone before the last callback's Attempt.
  std::vector<Context> tcp_contexts;
};

struct GetdnsResolver::Attempt {
  std::shared_ptr<Pending> pending;
  bool trusted;
  bool over_tcp;
};

Result<std::unique_ptr<GetdnsResolver>> GetdnsResolver::Create(
    boost::asio::io_context& loop, Clock& clock, const Options::Dns& options,
    Metrics& metrics) {
  std::unique_ptr<GetdnsResolver> resolver(
      new GetdnsResolver(loop, clock, metrics));
  const Status used = resolver->Use(options);
  if (!used) return used.error();
  return resolver;
}

GetdnsResolver::GetdnsResolver(boost::asio::io_context& loop, Clock& clock,
                               Metrics& metrics)
    : clock_(clock),
      executor_(loop.get_executor()),
      getdns_loop_(loop, clock),
      gate_(executor_, clock, kMaxInFlight),
      queries_(metrics.Counter("postern_dns_queries_total",
                               "DNS questions asked, repeats included")),
      failures_(metrics.Counter("postern_dns_failures_total",
                                "DNS questions that failed")),
      validates_(metrics.Gauge("postern_resolver_validates",
                               "1 while a DNS resolver validates DNSSEC")),
      seconds_(metrics.Latency("postern_step_seconds",
                               "How long the steps of a lookup take",
                               {{"step", "dns"}})) {}

GetdnsResolver::~GetdnsResolver() = default;

Status GetdnsResolver::Use(const Options::Dns& options) {
  if (options == options_) return Done{};
  Servers servers;
  for (const AddressAndPort& address : options.servers) {
    auto server = MakeServer(address, options);
    if (!server) return server.error();
    servers.push_back(std::move(*server));
  }
  servers_ = std::move(servers);
  options_ = options;
  return Done{};
}

Result<std::shared_ptr<GetdnsResolver::Server>> GetdnsResolver::MakeServer(
    const AddressAndPort& address, const Options::Dns& options) {
  auto server = std::make_shared<Server>();
  server->address = address;
  server->trusted =
      options.trust_ad == TrustAd::kYes ||
      (options.trust_ad == TrustAd::kAuto && address.address.IsLoopback());
  server->context = MakeContext(address, options.timeout, GETDNS_TRANSPORT_UDP);
  if (!server->context)
    return Error{"getdns cannot be set up for DNS server " +
                 address.ToString()};
  return server;
}

GetdnsResolver::Context GetdnsResolver::MakeContext(
    const AddressAndPort& address, milliseconds timeout,
    getdns_transport_list_t transport) {
  getdns_context* made = nullptr;
  getdns_context_create_with_memory_functions(
      &made, /*set_from_os=*/0, AllocateZeroed, std::realloc, std::free);
  Context context(made);
  getdns_namespace_t namespaces[] = {GETDNS_NAMESPACE_DNS};
  const bool ok =
      made &&
      !getdns_context_set_resolution_type(made, GETDNS_RESOLUTION_STUB) &&
      !getdns_context_set_namespaces(made, 1, namespaces) &&
      !getdns_context_set_dns_transport_list(made, 1, &transport) &&
      !getdns_context_set_append_name(made, GETDNS_APPEND_NAME_NEVER) &&
      !getdns_context_set_edns_maximum_udp_payload_size(made, kEdnsPayload) &&
      !getdns_context_set_timeout(made,
                                  static_cast<uint64_t>(timeout.count())) &&
      SetUpstream(made, address) &&
      !getdns_context_set_eventloop(made, getdns_loop_.eventloop());
  return ok ? std::move(context) : nullptr;
}

DnssecState GetdnsResolver::Dnssec() const {
  // Before the first answer nobody is known not to.
  const bool may =
      std::any_of(servers_.begin(), servers_.end(), [](const auto& server) {
        return server->trusted && server->validation != Validation::kNo;
      });
  return may ? DnssecState::kOn : DnssecState::kOff;
}

bool GetdnsResolver::KnownToValidate() const {
  return std::any_of(servers_.begin(), servers_.end(), [](const auto& server) {
    return server->trusted && server->validation == Validation::kYes;
  });
}

GetdnsResolver::Servers GetdnsResolver::ServersToAsk() {
  Servers servers;
  for (const auto& server : servers_) {
    if (server->trusted && server->validation != Validation::kNo)
      servers.push_back(server);
  }
  if (servers.empty()) servers = servers_;
  std::stable_partition(servers.begin(), servers.end(),
                        [](const auto& server) { return server->answers; });
  return servers;
}

Awaitable<DnsAnswer> GetdnsResolver::Query(std::string name, DnsType type) {
  co_return co_await Ask(ServersToAsk(), std::move(name), type,
                         Purpose::kQuestion);
}

Awaitable<DnsAnswer> GetdnsResolver::QueryUnchecked(std::string name,
                                                    DnsType type) {
  DnsAnswer answer =
      co_await Ask(ServersToAsk(), std::move(name), type, Purpose::kUnchecked);
  answer.secure = false;
  co_return answer;
}

Awaitable<DnsAnswer> GetdnsResolver::Ask(Servers servers, std::string name,
                                         DnsType type, Purpose purpose) {
  const SteadyTime started = clock_.Now();
  const SteadyTime deadline = started + options_.timeout;
  std::optional<Gate<int>::Permit> permit;
  if (purpose != Purpose::kProbe) {
    permit.emplace(co_await gate_.Enter(0, deadline));
    if (!*permit) co_return Failure("too many DNS questions at once");
  }
  const auto pending = std::make_shared<Pending>();
  pending->name = std::move(name);
  pending->type = type;
  pending->unchecked = purpose == Purpose::kUnchecked;
  // Each server is asked at least once; a silent one again, in turn.
  for (size_t attempt = 0; clock_.Now() < deadline; ++attempt) {
    const bool first_round = attempt < servers.size();
    const bool tcp_is_next =
        pending->truncated && pending->tcp_contexts.empty();
    if (pending->outstanding == 0 && pending->answer && !first_round &&
        !tcp_is_next)
      break;
    pending->progress = std::make_shared<Event>(executor_, clock_);
    const auto progress = pending->progress;
    const bool over_tcp = pending->truncated;
    Send(*servers[attempt % servers.size()], pending);
    co_await progress->WaitUntil(
        std::min(deadline, clock_.Now() + kResendAfter));
    if (pending->answer && !pending->answer->failed()) break;
    if (pending->truncated && !over_tcp) continue;
    if (pending->outstanding == 0 && servers.size() == 1) break;
  }
  // A cancelled attempt reports back at once, and must find no listener.
  for (const auto& [context, id] : std::exchange(pending->transactions, {}))
    getdns_cancel_callback(context, id);
  pending->tcp_contexts.clear();
  const std::chrono::duration<double> taken = clock_.Now() - started;
  seconds_.Observe(taken.count());
  if (!pending->answer || pending->answer->failed()) failures_.Increment();
  // A zone whose servers are silent, or the resolver? A probe tells.
  if (!pending->replied) ProbeSoon();
  if (pending->answer) co_return std::move(*pending->answer);
  co_return Failure("no answer from the DNS resolver " +
                    servers.front()->address.ToString());
}

void GetdnsResolver::Send(Server& server,
                          const std::shared_ptr<Pending>& pending) {
  queries_.Increment();
  const bool over_tcp = pending->truncated;
  auto attempt =
      std::make_unique<Attempt>(Attempt{pending, server.trusted, over_tcp});
  getdns_context* context = server.context.get();
  if (over_tcp) {
    pending->tcp_contexts.push_back(
        MakeContext(server.address, options_.timeout, GETDNS_TRANSPORT_TCP));
    context = pending->tcp_contexts.back().get();
  }
  ++pending->outstanding;
  getdns_transaction_t id = 0;
  const getdns_return_t code = getdns_general(
      context, pending->name.c_str(), static_cast<uint16_t>(pending->type),
      pending->unchecked ? CdExtension() : AdExtension(), attempt.get(), &id,
      OnAnswer);
  if (code == GETDNS_RETURN_GOOD) {
    attempt.release();  // OnAnswer owns it
    pending->transactions.emplace_back(context, id);
    return;
  }
  // Met where the only upstream has just failed: as good as no answer.
  --pending->outstanding;
  if (!pending->answer)
    pending->answer = Failure("getdns cannot ask " + server.address.ToString() +
                              ": " + getdns_get_errorstr_by_id(code));
  pending->progress->Set();
}

void GetdnsResolver::OnAnswer(getdns_context*, getdns_callback_type_t type,
                              getdns_dict* response, void* argument,
                              getdns_transaction_t id) noexcept {
  const std::unique_ptr<Attempt> attempt(static_cast<Attempt*>(argument));
  const DictPtr owned(response);
  try {
    Pending& pending = *attempt->pending;
    --pending.outstanding;
    std::erase_if(pending.transactions,
                  [id](const auto& one) { return one.second == id; });
    if (type == GETDNS_CALLBACK_CANCEL) return;
    pending.replied |= type == GETDNS_CALLBACK_COMPLETE;
    if (!attempt->over_tcp && type == GETDNS_CALLBACK_COMPLETE && response &&
        IsTruncated(response)) {
      pending.truncated = true;
      pending.progress->Set();
      return;
    }
    if (!pending.answer || pending.answer->failed()) {
      pending.answer = type == GETDNS_CALLBACK_COMPLETE && response
                           ? ReadGetdnsAnswer(response, pending.name,
                                              pending.type, attempt->trusted)
                           : Failure("the DNS resolver did not answer");
    }
    // Posted: nothing is resumed from inside getdns.
    pending.progress->Set();
  } catch (const std::exception& error) {
    Log(LogLevel::kError, "dns_answer_lost", {{"what", error.what()}});
  }
}

void GetdnsResolver::ProbeSoon() {
  const SteadyTime now = clock_.Now();
  if (now < next_extra_probe_) return;
  next_extra_probe_ =
      now + options_.timeout * static_cast<int>(servers_.size() + 1);
  Spawn(executor_, Probe());
}

Awaitable<void> GetdnsResolver::Probe() {
  const Servers servers = servers_;  // a reload may replace them
  for (const auto& server : servers) {
    Servers one = {server};
    std::string root = ".";
    const DnsAnswer answer = co_await Ask(std::move(one), std::move(root),
                                          DnsType::kSoa, Purpose::kProbe);
    JudgeProbe(*server, answer);
  }
  validates_.Set(Validates() ? 1 : 0);
}

void GetdnsResolver::NoteSilence(Server& server, const std::string& reason) {
  if (!std::exchange(server.answers, false)) return;
  Log(LogLevel::kError, "resolver_silent",
      {{"server", server.address.ToString()},
       {"reason", reason},
       {"advice",
        "is it running? mail to domains that are not in memory is deferred "
        "until it answers (dns.server)"}});
}

void GetdnsResolver::JudgeProbe(Server& server, const DnsAnswer& answer) {
  const std::string name = server.address.ToString();
  if (!answer.has_data()) {
    // Says nothing about validation.
    NoteSilence(server,
                answer.failed() ? answer.failure : "no SOA at the root");
    return;
  }
  if (!std::exchange(server.answers, true))
    Log(LogLevel::kInfo, "resolver_answers", {{"server", name}});
  const Validation now = answer.secure ? Validation::kYes : Validation::kNo;
  if (std::exchange(server.validation, now) == now) return;
  if (answer.secure)
    Log(LogLevel::kInfo, "resolver_validates", {{"server", name}});
  else if (!server.trusted)
    Log(LogLevel::kWarn, "resolver_untrusted",
        {{"server", name},
         {"advice",
          "it is not on this machine, so its DNSSEC verdicts are not believed; "
          "DANE is left to Postfix. Run a validating resolver on 127.0.0.1, or "
          "set dns.trust_ad = yes if the path to it is safe"}});
  else
    Log(LogLevel::kWarn, "resolver_does_not_validate",
        {{"server", name},
         {"advice",
          "DANE is left to Postfix. Switch DNSSEC validation on, e.g. unbound "
          "with a root trust anchor (auto-trust-anchor-file)"}});
}

Awaitable<void> GetdnsResolver::KeepProbing() {
  for (;;) {
    Event pause(executor_, clock_);
    co_await pause.WaitUntil(clock_.Now() + kProbeInterval);
    co_await Probe();
  }
}

Result<Options::Dns> WithServers(Options::Dns options) {
  if (options.servers.empty())
    options.servers = ReadResolvConf("/etc/resolv.conf");
  if (options.servers.empty())
    return Error{
        "no DNS server: /etc/resolv.conf names none; install a validating "
        "resolver such as unbound and set dns.server = 127.0.0.1"};
  return options;
}

std::vector<AddressAndPort> ReadResolvConf(const std::string& path) {
  std::vector<AddressAndPort> servers;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const auto words = SplitList(line, " \t");
    if (words.size() < 2 || words[0] != "nameserver") continue;
    const auto address = IpAddress::Parse(words[1]);
    if (address) servers.push_back({*address, 53});
  }
  return servers;
}

}  // namespace postern
