// What serve, send and preview have in common: the world outside, and the ways
// from a day's spool into the queue and out of it.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "common/beast_https.h"
#include "common/disk_thread.h"
#include "common/getdns_resolver.h"
#include "common/loop_clock.h"

#include "report-sender/day_builder.h"
#include "report-sender/deliverer.h"
#include "report-sender/handover.h"

namespace postern {

struct PublishedKey {
  std::string name;  // "tlsrpt._domainkey.example.org"
  std::string algorithm;
  std::string record;   // what the TXT record there is to be
  std::string problem;  // "": it is
};

struct ReportEngine {
  // `loop` outlives the engine; `queue` is its own.
  static Result<std::unique_ptr<ReportEngine>> Create(
      boost::asio::io_context& loop, ReportConfigurationPtr configuration,
      std::unique_ptr<ReportQueue> queue);

  // For what comes. After an Error nothing has changed.
  Status Use(ReportConfigurationPtr configuration);

  struct SpoolDay {
    std::shared_ptr<const DayTotals> totals;
    std::vector<std::string> missing;  // folders that are not there
  };
  // The spools' totals of a day; reading blocks a thread of its own.
  Awaitable<Result<SpoolDay>> Read(Day day);
  // Reads a day, builds its reports ("": of all domains, and then it is
  // closed) and puts them into the queue. While a spool.directory is
  // missing (read_day.h), that is an Error until the day's last chance
  // (kCatchUpDays): then it is closed without that folder.
  Awaitable<Result<BuiltDay>> Queue(Day day, std::string domain,
                                    DayBuilder::Progress progress);
  // Of the keys that we sign with, whether DNS has the public half.
  Awaitable<std::vector<PublishedKey>> PublishedKeys();
  // Tells in the log what keeps receivers from believing our mails.
  Awaitable<void> CheckDkim();

  boost::asio::io_context& loop;
  ReportConfigurationPtr configuration;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<LoopClock> clock;
  std::unique_ptr<GetdnsResolver> resolver;
  BeastHttps https;
  std::unique_ptr<ReportQueue> queue;
  RealTransport transport;
  DayBuilder builder;
  Deliverer deliverer;

 private:
  struct Outside {
    std::unique_ptr<Metrics> metrics;
    std::unique_ptr<LoopClock> clock;
    std::unique_ptr<GetdnsResolver> resolver;
  };
  ReportEngine(boost::asio::io_context& loop,
               ReportConfigurationPtr configuration,
               std::unique_ptr<ReportQueue> queue, Outside outside);

  // Files may hang: left to the end of the process, whatever it does.
  DiskThread* const files_;
};

// Where reports wait: the folder is made, ReportAccount becomes ours, what an
// older version left is taken over, the queue is opened. What needs root, comes
// before.
Result<std::unique_ptr<ReportQueue>> OpenOwnQueue(
    const ReportConfiguration& configuration);

// For what is not to be recorded: becomes ReportAccount, too; a queue in
// memory.
Result<std::unique_ptr<ReportQueue>> OpenNoQueue(
    const ReportConfiguration& configuration);

}  // namespace postern
