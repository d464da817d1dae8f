// PolicyService: the answer to a key, from memory or by a lookup.
//
// One lookup in flight per key, however many clients ask; answers within the
// timeout, never later (Postfix would take a late reply as the answer to its
// next question). Contract: loop thread only.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/metrics.h"

#include "policy-daemon/answer_table.h"
#include "policy-daemon/lookup.h"
#include "policy-daemon/policy_key.h"
#include "policy-daemon/reply_builder.h"

namespace postern {

class PolicyService {
 public:
  struct Settings {
    std::chrono::milliseconds answer_timeout{8000};
    size_t max_lookups = 1000;
    size_t max_fetches = 1000;
    size_t max_entries = 1000000;
    size_t max_bytes = 1 << 30;
    bool dane_enabled = true;
    bool mixed_reply_dane_only = false;
    ReplySettings reply;
  };
  // Everything given by reference outlives the service.
  PolicyService(const Lookup::World& world, Resolver& resolver,
                Settings settings, Metrics& metrics);

  // The netstring to write if it is known without waiting; empty otherwise.
  // The view holds until the loop runs on.
  std::string_view AnswerNow(std::string_view key, Dialect dialect);

  // The netstring to write, after a lookup where it needs one.
  Awaitable<std::string> Answer(std::string key, Dialect dialect);

  // Everything about `key`, once all of it is known.
  Awaitable<std::shared_ptr<Lookup>> Explain(PolicyKey key);

  const ServicePorts& services() const { return services_; }
  size_t lookups_in_flight() const { return in_flight_.size(); }

 private:
  struct Flight {
    std::shared_ptr<Lookup> lookup;
    Replies replies;  // once the lookup has settled
  };

  // Null: there are too many.
  std::shared_ptr<Flight> Join(const PolicyKey& key);
  void Remember(const std::string& key, Flight& flight);
  // For a question that comes after the first TEMP on account of a slow
  // policy file: it does not wait for that file again.
  std::optional<Replies> WithoutHeldFetch(const Flight& flight) const;
  Replies AtTimeout(const Flight& flight, SteadyTime asked_at);
  std::string Count(std::string reply, ReplyKind kind);

  Lookup::World world_;
  Resolver& resolver_;
  Settings settings_;
  ServicePorts services_;
  AnswerTable table_;
  boost::unordered_flat_map<std::string, std::shared_ptr<Flight>> in_flight_;
  std::array<prometheus::Counter*, kReplyKinds> answers_{};
  prometheus::Counter& hits_;
  prometheus::Gauge& lookups_;
  prometheus::Gauge& entries_;
  prometheus::Gauge& bytes_;
  prometheus::Histogram& latency_;
};

}  // namespace postern
