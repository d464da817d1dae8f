// Fetches MTA-STS policy files (RFC 8461 section 3.3), and remembers them.
//
// Contract: loop thread only; one fetch in flight a domain, in a seat of
// FetchSeats.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/dns.h"
#include "common/event.h"
#include "common/host_addresses.h"
#include "common/https.h"
#include "common/https_proxy.h"
#include "common/metrics.h"
#include "common/public_suffix.h"

#include "policy-daemon/fetch_seats.h"
#include "policy-daemon/held_mail.h"
#include "policy-daemon/outage_watch.h"
#include "policy-daemon/outcome_sink.h"
#include "policy-daemon/policy_store.h"

namespace postern {

struct StsSettings {
  uint16_t port = 443;
  Seconds fetch_timeout{60};
  size_t max_fetches = 1000;
  AddressFilter address_filter;
  std::optional<ProxyName> proxy;
};

struct FetchRequest {
  std::string domain;
  std::string id;  // of the TXT record that asks for it
  // What is remembered of failures for the same id, less than 24 h old.
  std::optional<FailedFetch> failure;
  // The policy that stays in force where the fetch fails.
  std::shared_ptr<const StsPolicy> previous;
  Seconds check_after{3600};  // when the TXT record is looked at again
  bool background = false;    // no question waits for it
};

struct FetchResult {
  std::optional<StoredPolicy> stored;  // empty: it failed
  std::string reason;                  // why it failed, for our own people
  ResultType type = ResultType::kStsPolicyFetchError;
  std::string told;        // the same, as the domain's owner may read it
  bool unreached = false;  // nobody could be connected to
  // Not the domain's fault: no request was made, or our own trouble was in
  // the way.
  bool crowded = false;
  bool ours = false;
};

// One in flight: owned by the fetch and by everyone who waits for it.
struct PolicyFetch {
  PolicyFetch(boost::asio::any_io_executor executor, Clock& clock)
      : done(std::move(executor), clock) {}
  Event done;
  FetchResult result;  // once done
};

class PolicyFetcher {
 public:
  // Everything given by reference outlives the fetcher.
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    Resolver& resolver;
    HttpsClient& https;
    PolicyStore& store;
    OutageWatch& outage;
    Metrics& metrics;
  };
  PolicyFetcher(World world, StsSettings settings);

  // Called when a policy came that was not in force before.
  void OnChange(std::function<void(const std::string& domain)> call) {
    on_change_ = std::move(call);
  }

  // Joins the domain's fetch, or starts it. Null: too many wait already, in
  // all or of the registrable domain.
  std::shared_ptr<PolicyFetch> Start(FetchRequest request);

  // No fetch takes longer; it keeps its own deadlines.
  Seconds Patience() const;

  // Slow fetches hold mail at most once per domain and day. True for a question
  // that came before the first TEMP on this account: hold it.
  bool MayHold(const std::string& domain, SteadyTime asked_at);
  // True if a question asked now does not wait for a fetch.
  bool HasHeld(const std::string& domain) const;

  // Fetches that questions may wait for: they run or wait for their turn.
  size_t in_foreground() const { return in_foreground_; }

  void Use(StsSettings settings);

 private:
  // Ends a fetch, however it ends.
  class Landing {
   public:
    Landing(PolicyFetcher& fetcher, const FetchRequest& request,
            std::shared_ptr<PolicyFetch> flight)
        : fetcher_(fetcher),
          domain_(request.domain),
          parent_(RegistrableDomain(domain_)),
          background_(request.background),
          flight_(std::move(flight)) {}
    Landing(const Landing&) = delete;
    Landing& operator=(const Landing&) = delete;
    ~Landing();

   private:
    PolicyFetcher& fetcher_;
    std::string domain_;
    std::string parent_;
    bool background_;
    std::shared_ptr<PolicyFetch> flight_;
  };

  Awaitable<void> Run(FetchRequest request,
                      std::shared_ptr<PolicyFetch> flight);
  // `request` belongs to the caller's frame, which waits for it.
  Awaitable<FetchResult> Fetch(const FetchRequest& request);
  // Asks one of `addresses` after the other; nothing: no turn came.
  Awaitable<std::optional<HttpsResponse>> AskEach(
      const FetchRequest& request, std::vector<IpAddress> addresses);
  void NoteRefused(const std::string& host, const HostAddresses& addresses);
  // Was anybody reached? If not, was that us?
  void NoteReach(const FetchRequest& request, const HttpsResponse& response,
                 FetchResult& result);
  FetchResult Judge(const HttpsResponse& response, const FetchRequest& request);
  StoredPolicy MakeStored(StsPolicy policy, const FetchRequest& request);
  void NoteFailure(const FetchRequest& request, const PolicyFetch& flight);

  World world_;
  StsSettings settings_;
  std::function<void(const std::string&)> on_change_;
  std::mt19937_64 random_;
  boost::unordered_flat_map<std::string, std::shared_ptr<PolicyFetch>>
      in_flight_;
  boost::unordered_flat_map<std::string, size_t> of_parent_;  // in flight
  size_t in_foreground_ = 0;
  size_t in_background_ = 0;
  FetchSeats seats_;
  HeldMail held_;
  LogLimiter log_, refused_log_;
  prometheus::Counter& fetched_;
  prometheus::Counter& failed_;
  prometheus::Counter& ours_;
  prometheus::Gauge& fetching_;
  prometheus::Histogram& seconds_;
};

}  // namespace postern
