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
#include <boost/unordered/unordered_flat_set.hpp>

#include "common/metrics.h"

#include "policy-daemon/answer_table.h"
#include "policy-daemon/lookup.h"
#include "policy-daemon/outcome_sink.h"
#include "policy-daemon/overrides.h"
#include "policy-daemon/policy_key.h"
#include "policy-daemon/reply_builder.h"
#include "policy-daemon/result_counters.h"

namespace postern {

class PolicyService {
 public:
  struct Settings {
    std::chrono::milliseconds answer_timeout{8000};
    size_t max_lookups = 1000;
    size_t max_entries = 1000000;
    size_t max_bytes = 1 << 30;
    bool dane_enabled = true;
    bool mixed_reply_dane_only = false;
    ReplySettings reply;
  };
  // Everything given by reference outlives the service.
  struct World {
    Lookup::World lookup;
    Resolver& resolver;
    PolicyFetcher& fetcher;
    OutcomeSink& outcomes;
    Metrics& metrics;
  };
  PolicyService(const World& world, Settings settings);

  // Takes up a new configuration. What is in memory stays where it holds.
  void Use(Settings settings, Overrides overrides);

  struct Known {
    std::string_view text;  // the netstring to write
    // May be null without ReplySettings::with_policy, and for what has none.
    AnsweredPolicyPtr policy;
  };
  // The answer if it is known without waiting; an empty text otherwise. The
  // view holds until the loop runs on.
  Known AnswerNow(std::string_view key, Dialect dialect);

  struct Reply {
    std::string text;
    AnsweredPolicyPtr policy;
  };
  // The answer, after a lookup where it needs one.
  Awaitable<Reply> Answer(std::string key, Dialect dialect);

  // Starts the lookup that a question for `key` would need. False: it is
  // known already, in flight, no key, or there are too many. A question that
  // comes meanwhile joins it.
  bool WarmUp(std::string_view key);

  // A new policy, or a purge: `domain`'s answers are looked up again, and what
  // a lookup under way has found before that is not remembered. "" for all.
  void Drop(const std::string& domain);

  // The override for `key`; null without one.
  const Override* OverrideFor(const PolicyKey& key) const;

  // Everything about `key`, once all of it is known.
  Awaitable<std::shared_ptr<Lookup>> Explain(PolicyKey key);

  const ServicePorts& services() const { return services_; }
  size_t lookups_in_flight() const { return in_flight_.size(); }
  // Of the facts of lookups.
  size_t bytes_held() const { return *world_.lookup.bytes_held; }

 private:
  struct Flight {
    std::shared_ptr<Lookup> lookup;
    std::string name;    // its place in in_flight_
    bool stale = false;  // its answer is for those who wait already
    Replies replies;     // once the lookup has settled
    bool asked = false;  // a question waits for it, or did
    bool held = false;   // the answer was TEMP for the policy file's sake
    // The resolver was doubted when it began, or later.
    bool doubted = false;
    bool decided = false;
  };

  // Null: there are too many.
  std::shared_ptr<Flight> Join(const PolicyKey& key);
  DecisionSettings Choices() const;
  // Why no lookup may start now, and what to do; null: one may.
  const char* NoRoom() const;
  // What is in memory for `name` (MemoryKey()).
  AnswerTable::Found InMemory(std::string_view name, Dialect dialect);
  // Where an answer by the resolver as it is now is kept.
  std::string NameFor(std::string_view key, const Override* overriding) const;
  // While the resolver is doubted: the answer with DANE that holds; the kind is
  // another where there is none.
  Replies HeldDane(std::string_view name);
  void Remember(Flight& flight);
  void PutAside(const std::string& name);
  void Observe(const Flight& flight);
  void TellOfUnasked(const std::string& name);
  void NoteSize();
  // For a question that comes after the first TEMP on account of a slow
  // policy file: it does not wait for that file again.
  std::optional<Replies> WithoutHeldFetch(const Flight& flight) const;
  Replies AtTimeout(Flight& flight, SteadyTime asked_at);
  AnsweredPolicyPtr PolicyOf(std::string_view key,
                             const Override* overriding) const;
  void Count(ReplyKind kind);

  World world_;
  Settings settings_;
  Overrides overrides_;
  ServicePorts services_;
  AnswerTable table_;
  // The other ports that were asked about: what Drop() has to look for.
  boost::unordered_flat_set<uint16_t> ports_ = {kSmtpPort};
  boost::unordered_flat_map<std::string, std::shared_ptr<Flight>> in_flight_;
  // What warm-ups have found, until somebody gets their answer.
  boost::unordered_flat_map<std::string, std::vector<Finding>> unasked_;
  uint64_t put_aside_ = 0;  // for names of their own
  size_t undecided_ = 0;    // of these
  std::array<prometheus::Counter*, kReplyKinds> answers_{};
  std::array<prometheus::Counter*, kReplyKinds> temps_{};  // null: no TEMP
  ResultCounters results_;
  prometheus::Counter& hits_;
  prometheus::Gauge& lookups_;
  prometheus::Gauge& entries_;
  prometheus::Gauge& bytes_;
  prometheus::Histogram& latency_;
};

}  // namespace postern
