// Deliverer: takes what is due from the queue and sees it to where it goes.
//
// Mails, posts, and posts that have failed before have lanes of their own. In
// each, hosts take turns, so that one that is asked for a thousand reports does
// not keep another waiting; a host gets a few posts at a time; and enough may
// be under way that thousands of dead ones do not delay the living.
//
// Attempts that end together are written together. What cannot be written (a
// full disk) is kept and not tried again by this process; nothing new is begun
// until it is written.
//
// Contract: loop thread only; the queue's calls block it shortly.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "common/event.h"
#include "common/log.h"
#include "common/metrics.h"

#include "report-sender/report_queue.h"
#include "report-sender/transport.h"

namespace postern {

class Deliverer {
 public:
  // Everything given by reference outlives the deliverer.
  struct World {
    boost::asio::any_io_executor executor;
    Clock& clock;
    ReportQueue& queue;
    Transport& transport;
    Metrics& metrics;
  };
  struct Settings {
    Seconds retry_for{24 * 3600};
    bool clock_is_even = true;  // of a person's command
    size_t mails = 8;           // at once
    size_t posts = 1000;
    size_t posts_to_host = 2;
    size_t retries = 300;  // of posts, one to a host
  };
  Deliverer(World world, Settings settings);

  void Use(Seconds retry_for) { settings_.retry_for = retry_for; }
  // Whether deliveries may be given up by the wall clock (SettlementOf()).
  void BelieveClock(bool is_even) { settings_.clock_is_even = is_even; }

  // Takes what has become due, and starts what there is room for. To be called
  // again and again.
  void Look();
  // Starts no more.
  void Stop() { stopping_ = true; }
  // Attempts under way, or not yet written.
  size_t under_way() const;

  struct Totals {
    uint64_t delivered = 0;
    uint64_t failed = 0;  // to be tried again
    uint64_t given_up = 0;
  };
  const Totals& totals() const { return totals_; }

 private:
  struct Lane {
    size_t limit = 0;
    size_t limit_of_host = 0;
    size_t running = 0;
    struct Host {
      std::deque<int64_t> waiting;
      size_t running = 0;
    };
    std::map<std::string, Host> hosts;
    std::deque<std::string> turns;  // hosts that may start one

    void Add(const DueDelivery& due);
    // nullopt: none may start.
    std::optional<DueDelivery> Take();
    void Leave(const std::string& host);
    void QueueUp(const std::string& name, const Host& host);
  };
  Lane& LaneOf(const DueDelivery& due);
  void Start();
  Awaitable<void> Attempt(Lane& lane, DueDelivery due);
  Awaitable<Handover> HandOver(Parcel parcel);
  void WriteSoon();
  void Write();
  void Count(const Parcel& parcel, const Settlement& settlement);
  void NoteTrouble(const Error& error);

  World world_;
  Settings settings_;
  Lane mails_;
  Lane posts_;
  Lane retries_;
  bool stopping_ = false;
  WallTime looked_until_{};
  SteadyTime look_at_all_{};
  // Deliveries that wait for their turn, are under way or not yet written.
  boost::unordered_flat_set<int64_t> known_;
  std::vector<EndedAttempt> unwritten_;
  bool writes_soon_ = false;
  bool failing_ = false;  // what has ended cannot be written
  Totals totals_;
  LogLimiter trouble_log_{1};
  LogLimiter deferred_log_{60};
  LogLimiter given_up_log_{60};
  prometheus::Counter& delivered_by_mail_;
  prometheus::Counter& delivered_by_post_;
  prometheus::Counter& failed_;
  prometheus::Counter& given_up_;
  prometheus::Gauge& unwritten_count_;
};

}  // namespace postern
