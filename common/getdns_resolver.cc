#include "common/getdns_resolver.h"

#include <algorithm>

#include <sys/resource.h>

#include "common/dns_wire.h"
#include "common/getdns_answer.h"
#include "common/resolv_conf.h"

namespace postern {
namespace {

using Validation = DnsServerFacts::Validation;

constexpr Seconds kProbeInterval{60};
constexpr Seconds kSocketWarningInterval{60};
// Questions out at a time, each with a socket; more wait their turn.
constexpr rlim_t kMaxInFlight = 4096;

// The resolver's share of the descriptors: a quarter.
size_t MaxInFlight() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxInFlight;
  return std::clamp<rlim_t>(limit.rlim_cur / 4, 1, kMaxInFlight);
}

bool IsTrusted(const DnsServerFacts& facts) {
  return facts.trust == AdTrust::kTrusted;
}

DnsAnswer Failure(std::string reason) {
  DnsAnswer answer;
  answer.failure = std::move(reason);
  return answer;
}

}  // namespace

Result<std::unique_ptr<GetdnsResolver>> GetdnsResolver::Create(
    boost::asio::io_context& loop, Clock& clock, const Options::Dns& options,
    Metrics& metrics, std::string resolv_conf) {
  std::unique_ptr<GetdnsResolver> resolver(
      new GetdnsResolver(loop, clock, metrics, std::move(resolv_conf)));
  const Status used = resolver->Use(options);
  if (!used) return used.error();
  return resolver;
}

GetdnsResolver::GetdnsResolver(boost::asio::io_context& loop, Clock& clock,
                               Metrics& metrics, std::string resolv_conf)
    : clock_(clock),
      executor_(loop.get_executor()),
      transport_(loop, clock),
      gate_(executor_, clock, MaxInFlight()),
      resolv_conf_(std::move(resolv_conf)),
      queries_(metrics.Counter("postern_dns_queries_total",
                               "DNS questions asked, other servers and TCP "
                               "counted anew")),
      failures_(metrics.Counter("postern_dns_failures_total",
                                "DNS questions that failed")),
      no_socket_(metrics.Counter(
          "postern_dns_no_socket_total",
          "DNS questions that failed because this machine had no descriptor or "
          "buffer left")),
      validates_(metrics.Gauge("postern_resolver_validates",
                               "1 while a DNS resolver validates DNSSEC")),
      seconds_(metrics.Latency("postern_step_seconds",
                               "How long the steps of a lookup take",
                               {{"step", "dns"}})) {}

Status GetdnsResolver::Use(const Options::Dns& options) {
  const auto addresses = DnsServersOf(options, resolv_conf_);
  if (!addresses) return addresses.error();
  options_ = options;
  next_look_ = clock_.Now() + kProbeInterval;
  resolv_conf_bad_ = false;
  TakeServers(*addresses);
  return Done{};
}

void GetdnsResolver::TakeServers(const std::vector<AddressAndPort>& addresses) {
  Servers servers;
  for (const AddressAndPort& address : addresses) {
    const AdTrust trust = JudgeAdTrust(address.address, options_.trust_ad);
    // What is known of a server stays known.
    const auto known = std::find_if(
        servers_.begin(), servers_.end(), [&](const ServerPtr& one) {
          return one->address == address && one->facts.trust == trust;
        });
    if (known != servers_.end()) {
      servers.push_back(*known);
      continue;
    }
    auto server = std::make_shared<Server>();
    server->address = address;
    server->facts.name = address.ToString();
    server->facts.trust = trust;
    servers.push_back(std::move(server));
  }
  servers_ = std::move(servers);
  // Where none is trusted, no probe is needed to know.
  JudgeRound(/*has_data=*/false);
}

// On the loop: a local file of some hundred bytes, once a minute, as the C
// library does for each of its questions.
void GetdnsResolver::LookAtResolvConf() {
  next_look_ = clock_.Now() + kProbeInterval;
  if (!options_.servers.empty()) return;
  const auto addresses = ReadResolvConf(resolv_conf_);
  if (addresses.empty()) {
    if (!std::exchange(resolv_conf_bad_, true))
      Log(LogLevel::kWarn, "resolv_conf_unusable",
          {{"file", resolv_conf_},
           {"reason", "it names no DNS server, or cannot be read"},
           {"effect", "the DNS servers stay as they were"}});
    return;
  }
  resolv_conf_bad_ = false;
  std::string names;
  bool same = addresses.size() == servers_.size();
  for (size_t i = 0; i < addresses.size(); ++i) {
    same = same && servers_[i]->address == addresses[i];
    names += (i == 0 ? "" : " ") + addresses[i].ToString();
  }
  if (same) return;
  Log(LogLevel::kInfo, "resolv_conf_changed",
      {{"file", resolv_conf_}, {"servers", names}});
  TakeServers(addresses);
}

GetdnsResolver::Servers GetdnsResolver::ServersToAsk() {
  if (clock_.Now() >= next_look_) LookAtResolvConf();
  Servers servers;
  std::copy_if(servers_.begin(), servers_.end(), std::back_inserter(servers),
               [](const ServerPtr& one) { return one->facts.may_validate(); });
  if (servers.empty()) servers = servers_;
  std::stable_partition(
      servers.begin(), servers.end(),
      [](const ServerPtr& one) { return one->facts.answers; });
  return servers;
}

Awaitable<DnsAnswer> GetdnsResolver::Query(std::string name, DnsType type) {
  Question question{std::move(name), type, /*unchecked=*/false};
  co_return co_await AskInTurn(std::move(question));
}

Awaitable<DnsAnswer> GetdnsResolver::QueryUnchecked(std::string name,
                                                    DnsType type) {
  Question question{std::move(name), type, /*unchecked=*/true};
  DnsAnswer answer = co_await AskInTurn(std::move(question));
  answer.secure = false;
  co_return answer;
}

Awaitable<DnsAnswer> GetdnsResolver::AskInTurn(Question question) {
  const SteadyTime deadline = clock_.Now() + options_.timeout;
  const auto permit = co_await gate_.Enter(0, deadline);
  if (!permit) co_return Failure("too many DNS questions at once");
  Servers servers = ServersToAsk();
  Attempt attempt = co_await Ask(std::move(servers), std::move(question));
  // A zone whose servers are silent, or the resolver? A probe tells.
  if (attempt.end == Attempt::End::kSilent ||
      attempt.end == Attempt::End::kUnreachable)
    ProbeSoon();
  co_return std::move(attempt.answer);
}

Awaitable<GetdnsResolver::Attempt> GetdnsResolver::Ask(Servers servers,
                                                       Question question) {
  const SteadyTime started = clock_.Now();
  const SteadyTime deadline = started + options_.timeout;
  const size_t count = servers.size();
  // Each server is asked at least once; the next ones for longer and longer.
  SteadyTime::duration window = std::min<SteadyTime::duration>(
      DnsTransport::kResendAfter, options_.timeout / (count + 1));
  Attempt best;
  for (size_t turn = 0; clock_.Now() < deadline; ++turn) {
    if (turn > 0 && turn % count == 0) window *= 2;
    const bool all_asked = turn + 1 >= count;
    const SteadyTime begun = clock_.Now();
    // What is left is not worth another turn.
    const bool is_last =
        count == 1 || (all_asked && begun + 2 * window > deadline);
    Attempt attempt = co_await AskServer(
        servers[turn % count], question,
        is_last ? deadline : std::min(deadline, begun + window));
    const bool ends =
        attempt.is_good() || attempt.end == Attempt::End::kNoSocket;
    // A server's word tells more than silence.
    if (ends || best.end != Attempt::End::kAnswered) best = std::move(attempt);
    if (ends || (all_asked && best.end == Attempt::End::kAnswered)) break;
    if (!all_asked) continue;
    // Nobody listens: it may be starting again.
    Event pause(executor_, clock_);
    co_await pause.WaitUntil(
        std::min(deadline, begun + DnsTransport::kResendAfter));
  }
  const std::chrono::duration<double> taken = clock_.Now() - started;
  seconds_.Observe(taken.count());
  if (!best.is_good()) failures_.Increment();
  if (best.end == Attempt::End::kNoSocket) NoteNoSocket(best.answer.failure);
  co_return best;
}

Awaitable<GetdnsResolver::Attempt> GetdnsResolver::AskServer(
    ServerPtr server, Question question, SteadyTime deadline) {
  Attempt attempt =
      co_await AskOnce(server, question, DnsProtocol::kUdp, deadline);
  if (!attempt.truncated) co_return attempt;
  // RFC 7766 section 5. It has answered: so it gets its time anew.
  deadline = std::max(deadline, clock_.Now() + DnsTransport::kResendAfter);
  Attempt whole =
      co_await AskOnce(server, question, DnsProtocol::kTcp, deadline);
  if (whole.end == Attempt::End::kSilent ||
      whole.end == Attempt::End::kUnreachable) {
    whole.end = Attempt::End::kAnswered;
    whole.answer.failure = "truncated DNS answer, and " + whole.answer.failure;
  }
  co_return whole;
}

Awaitable<GetdnsResolver::Attempt> GetdnsResolver::AskOnce(
    ServerPtr server, Question question, DnsProtocol protocol,
    SteadyTime deadline) {
  const DnsQuery query{question.name, question.type, question.unchecked,
                       server->with_proofs && !question.unchecked};
  auto message = EncodeDnsQuery(query);
  Attempt attempt;
  if (!message) {
    attempt.end = Attempt::End::kAnswered;
    attempt.answer = Failure("DNS can have no such name");
    co_return attempt;
  }
  queries_.Increment();
  const DnsExchange exchange = co_await transport_.Ask(
      server->address, protocol, std::move(*message), deadline);
  switch (exchange.end) {
    case DnsExchange::End::kReply:
      attempt.end = Attempt::End::kAnswered;
      attempt.truncated =
          protocol == DnsProtocol::kUdp && IsTruncated(exchange.message);
      if (attempt.truncated) break;
      attempt.answer = ReadDnsMessage(exchange.message, question.name,
                                      question.type, IsTrusted(server->facts));
      break;
    case DnsExchange::End::kSilence:
      attempt.end = Attempt::End::kSilent;
      attempt.answer = Failure(exchange.reason + " from the DNS resolver " +
                               server->facts.name);
      break;
    case DnsExchange::End::kUnreachable:
      attempt.end = Attempt::End::kUnreachable;
      attempt.answer =
          Failure("no answer from the DNS resolver " + server->facts.name +
                  " (" + exchange.reason + ")");
      break;
    case DnsExchange::End::kNoSocket:
      attempt.end = Attempt::End::kNoSocket;
      attempt.answer = Failure(exchange.reason);
      break;
  }
  co_return attempt;
}

void GetdnsResolver::NoteNoSocket(const std::string& reason) {
  no_socket_.Increment();
  if (clock_.Now() < next_socket_warning_) return;
  next_socket_warning_ = clock_.Now() + kSocketWarningInterval;
  Log(LogLevel::kError, "dns_no_socket",
      {{"reason", reason},
       {"effect", "mail to domains that are not in memory is deferred"},
       {"advice",
        "raise the limit of open files (LimitNOFILE=, ulimit -n), or see what "
        "takes the machine's sockets and memory"}});
}

void GetdnsResolver::ProbeSoon() {
  const SteadyTime now = clock_.Now();
  if (now < next_extra_probe_) return;
  next_extra_probe_ =
      now + options_.timeout * static_cast<int>(servers_.size() + 1);
  Spawn(executor_, ProbeServers());
}

Awaitable<void> GetdnsResolver::Probe() {
  judges_dnssec_ = true;
  co_await ProbeServers();
}

Awaitable<void> GetdnsResolver::KeepProbing() {
  for (;;) {
    Event pause(executor_, clock_);
    co_await pause.WaitUntil(clock_.Now() + DnssecJudge::kAgainAfter);
    if (Dnssec() == DnssecState::kDoubted ||
        clock_.Now() - last_probe_ >= kProbeInterval)
      co_await Probe();
  }
}

Awaitable<void> GetdnsResolver::ProbeServers() {
  last_probe_ = clock_.Now();
  LookAtResolvConf();
  const Servers servers = servers_;  // a reload may replace them
  std::vector<ProbeResult> results;
  for (const ServerPtr& server : servers)
    results.push_back(co_await ProbeServer(server));
  // All at once: between a server's verdict and the judgement of all, nobody
  // is to take its answers for what they were.
  bool has_data = false;
  for (size_t i = 0; i < servers.size(); ++i) {
    has_data |= results[i].has_data && IsTrusted(results[i].facts);
    std::swap(servers[i]->facts, results[i].facts);
    servers[i]->with_proofs = results[i].with_proofs;
  }
  JudgeRound(has_data);
  validates_.Set(Validates() ? 1 : 0);
  // `results` has what was before.
  for (size_t i = 0; i < servers.size(); ++i)
    LogChange(results[i].facts, servers[i]->facts);
  if (judges_dnssec_ && std::exchange(told_, Dnssec()) != Dnssec())
    LogState(told_);
}

Awaitable<GetdnsResolver::ProbeResult> GetdnsResolver::ProbeServer(
    ServerPtr server) {
  ProbeResult result{server->facts, server->with_proofs, false};
  const auto asked = std::make_shared<Server>(*server);
  const Question question{".", DnsType::kSoa, false};
  const Servers one = {asked};
  // Not behind a flood of questions: no turn is waited for.
  Attempt attempt = co_await Ask(one, question);
  if (attempt.answer.has_data() && !attempt.answer.secure &&
      IsTrusted(result.facts) && !asked->with_proofs) {
    asked->with_proofs = true;
    Attempt with_proofs = co_await Ask(one, question);
    if (with_proofs.answer.has_data() && with_proofs.answer.secure) {
      attempt = std::move(with_proofs);
      result.with_proofs = true;
    }
  }
  // Our own want of sockets says nothing about the server.
  if (attempt.end == Attempt::End::kNoSocket) co_return result;
  // Only data tells whether it validates.
  result.has_data = attempt.answer.has_data();
  result.facts.answers = result.has_data;
  if (result.has_data)
    result.facts.validation =
        attempt.answer.secure ? Validation::kYes : Validation::kNo;
  else
    result.facts.silence =
        attempt.answer.failed() ? attempt.answer.failure : "no SOA at the root";
  co_return result;
}

void GetdnsResolver::JudgeRound(bool has_data) {
  const auto any = [this](auto what) {
    return std::any_of(servers_.begin(), servers_.end(),
                       [&](const ServerPtr& one) { return what(one->facts); });
  };
  const bool validates = any([](const DnsServerFacts& facts) {
    return facts.validates() && facts.answers;
  });
  const bool may_validate =
      any([](const DnsServerFacts& facts) { return facts.may_validate(); });
  const bool any_trusted = any(IsTrusted);
  using Round = DnssecJudge::Round;
  const DnssecState before = judge_.state();
  judge_.Note(validates                  ? Round::kValidates
              : may_validate             ? Round::kShowsNothing
              : has_data || !any_trusted ? Round::kDoesNot
                                         : Round::kShowsNothing,
              clock_.Now());
  const DnssecState now = judge_.state();
  if (before == DnssecState::kOff && now != before && on_back_) on_back_();
}

void GetdnsResolver::LogState(DnssecState now) const {
  switch (now) {
    case DnssecState::kOn:
      return Log(LogLevel::kInfo, "dane_on",
                 {{"reason", "a DNS resolver validates DNSSEC"}});
    case DnssecState::kDoubted:
      return Log(LogLevel::kWarn, "dane_in_doubt",
                 {{"reason",
                   "no DNS resolver that is trusted validates DNSSEC "
                   "any more"},
                  {"effect", DnssecEffect(now)}});
    case DnssecState::kOff:
      return Log(
          LogLevel::kError, "dane_off",
          {{"reason", "no DNS resolver that is trusted validates DNSSEC"},
           {"effect", DnssecEffect(now)},
           {"advice", "postern-policy check-config says what to do"}});
  }
}

void GetdnsResolver::LogChange(const DnsServerFacts& before,
                               const DnsServerFacts& now) const {
  const std::string advice = DnsServerTrouble(now, Dnssec());
  if (before.answers && !now.answers)
    Log(LogLevel::kError, "resolver_silent",
        {{"server", now.name}, {"reason", now.silence}, {"advice", advice}});
  if (!before.answers && now.answers)
    Log(LogLevel::kInfo, "resolver_answers", {{"server", now.name}});
  if (!judges_dnssec_ || before.validation == now.validation) return;
  if (!IsTrusted(now))
    Log(LogLevel::kWarn, "resolver_untrusted",
        {{"server", now.name}, {"advice", advice}});
  else if (now.validates())
    Log(LogLevel::kInfo, "resolver_validates", {{"server", now.name}});
  else
    Log(LogLevel::kWarn, "resolver_does_not_validate",
        {{"server", now.name}, {"advice", advice}});
}

std::vector<std::string> GetdnsResolver::Troubles() const {
  std::vector<std::string> troubles;
  for (const ServerPtr& server : servers_) {
    const std::string trouble = DnsServerTrouble(server->facts, Dnssec());
    if (!trouble.empty())
      troubles.push_back(server->facts.name + ": " + trouble);
  }
  return troubles;
}

}  // namespace postern
