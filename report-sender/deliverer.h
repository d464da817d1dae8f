// Deliverer: takes what is due from the queue and sees it to where it goes.
//
// Mails and posts have lanes of their own. In each, hosts take turns, so that
// one that is asked for a thousand reports does not keep another waiting; a
// host gets a few posts at a time; and enough may be under way that thousands
// of dead ones do not delay the living.
//
// Contract: loop thread only; the queue's calls block it shortly. An attempt
// whose end cannot be written (a full disk) is not made again by this process:
// its end is kept, and written when that is possible.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <string>

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
    size_t mails = 8;  // at once
    size_t posts = 1000;
    size_t posts_to_host = 2;
  };
  Deliverer(World world, Settings settings);

  void Use(Seconds retry_for) { settings_.retry_for = retry_for; }

  // Takes what has become due, and starts what there is room for. To be called
  // again and again.
  void Look();
  // Starts no more.
  void Stop() { stopping_ = true; }
  // Attempts under way, or waiting for their turn, or not yet written.
  size_t busy() const { return known_.size(); }
  // Of these, those under way, or not yet written.
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
  struct Unwritten {
    Parcel parcel;
    Settlement settlement;
  };

  Lane& LaneOf(bool by_mail) { return by_mail ? mails_ : posts_; }
  void Start();
  Awaitable<void> Attempt(DueDelivery due);
  Awaitable<Handover> HandOver(Parcel parcel);
  // False: it could not be written.
  bool Write(const Parcel& parcel, const Settlement& settlement);
  void Count(const Parcel& parcel, const Settlement& settlement);
  void NoteTrouble(const Error& error);

  World world_;
  Settings settings_;
  Lane mails_;
  Lane posts_;
  bool stopping_ = false;
  WallTime looked_until_{};
  boost::unordered_flat_set<int64_t> known_;  // deliveries, by number
  std::list<Unwritten> unwritten_;
  Totals totals_;
  LogLimiter trouble_log_{1};
  prometheus::Counter& delivered_by_mail_;
  prometheus::Counter& delivered_by_post_;
  prometheus::Counter& failed_;
  prometheus::Counter& given_up_;
  prometheus::Gauge& unwritten_count_;
};

}  // namespace postern
