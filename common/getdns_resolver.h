// The real Resolver: asks validating resolvers, and reads their answers by
// getdns.
//
// Security is the AD bit of a resolver that we may trust (dns.trust_ad:
// loopback only by default), as in Postfix. Each resolver is asked for ". SOA"
// at start and every minute: only if that comes with AD does it validate. One
// that gives AD only to who wants the proofs, too (DO; systemd-resolved before
// v248), is asked so from then on. dnssec_judge tells when DANE is off.
//
// A question has one socket open at a time: sent again while its server is
// silent, closed before the next server is asked. At most kMaxInFlight
// questions are out, and no more than a quarter of RLIMIT_NOFILE; the others
// wait. One that gets no socket fails at once, with a reason, and is counted.
//
// Servers known not to validate are left out as long as there is one that may:
// a fallback to another would read as "insecure". So while the only trusted
// server is silent, questions fail, though an untrusted one may be there.
//
// Where dns.server names none, /etc/resolv.conf is read again with each round
// of probes, and by a question if that is a minute ago; what cannot be used
// changes nothing.
//
// Logged: a server that stops or starts to validate or to answer; DANE doubted,
// off, on; new servers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "common/dns.h"
#include "common/dns_transport.h"
#include "common/dnssec_judge.h"
#include "common/event.h"
#include "common/gate.h"
#include "common/listen_address.h"
#include "common/metrics.h"
#include "common/options.h"
#include "common/resolv_conf.h"
#include "common/result.h"

namespace postern {

class GetdnsResolver final : public Resolver {
 public:
  // `loop`, `clock` and `metrics` outlive the resolver. `resolv_conf`: another
  // file in tests.
  static Result<std::unique_ptr<GetdnsResolver>> Create(
      boost::asio::io_context& loop, Clock& clock, const Options::Dns& options,
      Metrics& metrics, std::string resolv_conf = kResolvConf);
  // For the questions to come; what is asked already ends as it began. After
  // an Error (no server) nothing has changed.
  Status Use(const Options::Dns& options);

  Awaitable<DnsAnswer> Query(std::string name, DnsType type) override;
  Awaitable<DnsAnswer> QueryUnchecked(std::string name, DnsType type) override;
  DnssecState Dnssec() const override { return judge_.state(); }

  // Called when DANE, that was off, is on again: answers made without it are
  // worth less than new ones.
  void OnDnssecBack(std::function<void()> call) { on_back_ = std::move(call); }

  // Asks each server once whether it validates, one after the other.
  Awaitable<void> Probe();
  // Repeats that every minute, every ten seconds while DANE is in doubt; for
  // ever.
  Awaitable<void> KeepProbing();

  // What is wrong with the servers, by their last probes: "ADDRESS: what it is,
  // what it means for mail, what to do".
  std::vector<std::string> Troubles() const;

 private:
  struct Server {
    AddressAndPort address;
    DnsServerFacts facts;
    bool with_proofs = false;  // gives AD only with DO
  };
  // Shared with the questions on their way: a reload replaces the servers.
  using ServerPtr = std::shared_ptr<Server>;
  using Servers = std::vector<ServerPtr>;
  struct Question {
    std::string name;
    DnsType type = DnsType::kA;
    bool unchecked = false;
  };
  // How one server took one question.
  struct Attempt {
    enum class End { kAnswered, kSilent, kUnreachable, kNoSocket };
    End end = End::kSilent;
    DnsAnswer answer;        // failed: why
    bool truncated = false;  // over UDP: to be asked over TCP

    bool is_good() const { return end == End::kAnswered && !answer.failed(); }
  };

  GetdnsResolver(boost::asio::io_context& loop, Clock& clock, Metrics& metrics,
                 std::string resolv_conf);
  void TakeServers(const std::vector<AddressAndPort>& addresses);
  void LookAtResolvConf();
  // The servers to ask, best first.
  Servers ServersToAsk();

  Awaitable<DnsAnswer> AskInTurn(Question question);
  // Asks the servers in turn, until one has an answer.
  Awaitable<Attempt> Ask(Servers servers, Question question);
  // One server: over UDP until `deadline`; what is truncated there, again over
  // TCP, for as long.
  Awaitable<Attempt> AskServer(ServerPtr server, Question question,
                               SteadyTime deadline);
  Awaitable<Attempt> AskOnce(ServerPtr server, Question question,
                             DnsProtocol protocol, SteadyTime deadline);
  void NoteNoSocket(const std::string& reason);

  Awaitable<void> ProbeServers();
  struct ProbeResult {
    DnsServerFacts facts;
    bool with_proofs = false;
    bool has_data = false;
  };
  Awaitable<ProbeResult> ProbeServer(ServerPtr server);
  // Probes out of turn, unless that was done just now.
  void ProbeSoon();
  void JudgeRound(bool has_data);
  void LogState(DnssecState now) const;
  void LogChange(const DnsServerFacts& before, const DnsServerFacts& now) const;

  Clock& clock_;
  boost::asio::any_io_executor executor_;
  DnsTransport transport_;
  Gate<int> gate_;
  const std::string resolv_conf_;
  Options::Dns options_;
  Servers servers_;
  DnssecJudge judge_;
  bool judges_dnssec_ = false;           // somebody asked for probes
  DnssecState told_ = DnssecState::kOn;  // what the log said last
  bool resolv_conf_bad_ = false;
  std::function<void()> on_back_;
  SteadyTime next_look_{};
  SteadyTime next_extra_probe_{};
  SteadyTime last_probe_{};
  SteadyTime next_socket_warning_{};
  prometheus::Counter& queries_;
  prometheus::Counter& failures_;
  prometheus::Counter& no_socket_;
  prometheus::Gauge& validates_;
  prometheus::Histogram& seconds_;
};

}  // namespace postern
