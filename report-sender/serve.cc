#include "report-sender/serve.h"

#include <cstdlib>
#include <exception>

#include <signal.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/accounts.h"
#include "common/even_clock.h"
#include "common/keep_running.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/metrics_server.h"
#include "common/privileges.h"
#include "common/systemd.h"

#include "report-sender/report_engine.h"
#include "report-sender/schedule.h"

namespace postern {
namespace {

namespace asio = boost::asio;

// Posts and lookups under way, each with a socket or some.
constexpr uint64_t kFiles = 4096;
constexpr Seconds kLookInterval{5};
constexpr Seconds kCloseInterval{30};
// After a day could not be closed.
constexpr Seconds kCloseAgain{5 * 60};
// For what is under way when we are to end: longer than any attempt.
constexpr Seconds kEndPatience{75};

int Fail(const Error& error) {
  Log(LogLevel::kError, "cannot_start", {{"reason", error.message}});
  return 2;
}

class Reporter {
 public:
  Reporter(asio::io_context& loop, ReportEngine& engine, std::string host,
           int argc, const char* const* argv)
      : loop_(loop),
        engine_(engine),
        host_(std::move(host)),
        argc_(argc),
        argv_(argv),
        signals_(loop, SIGTERM, SIGINT, SIGHUP),
        metrics_server_(loop, *engine.clock, *engine.metrics),
        waiting_(engine.metrics->Gauge("postern_report_deliveries_waiting",
                                       "Deliveries that wait")),
        last_closed_(engine.metrics->Gauge(
            "postern_report_last_closed_day",
            "When the last day that was closed began, in seconds since 1970")),
        close_failed_(
            engine.metrics->Counter("postern_report_close_failures_total",
                                    "Times that a day could not be closed")) {}

  void Start(const std::vector<Listener>& metrics) {
    for (const Listener& listener : metrics) metrics_server_.Listen(listener);
    const auto executor = loop_.get_executor();
    TellNotSending(*engine_.configuration);
    Keep("signals", [this] { return HandleSignals(); });
    Keep("close-days", [this] { return CloseDays(); });
    Keep("deliver", [this] { return DeliverOn(); });
    Spawn(executor, engine_.CheckDkim());
    if (const auto interval = WatchdogInterval())
      Keep("watchdog", [this, interval] { return ShowLife(*interval); });
  }

 private:
  Awaitable<void> Pause(std::chrono::milliseconds time) {
    Event pause(loop_.get_executor(), *engine_.clock);
    co_await pause.WaitUntil(engine_.clock->Now() + time);
  }

  void Keep(std::string task, std::function<Awaitable<void>()> start) {
    SpawnForever(loop_.get_executor(), *engine_.clock, *engine_.metrics,
                 std::move(task), std::move(start));
  }

  Awaitable<void> ShowLife(std::chrono::milliseconds interval) {
    for (;;) {
      NotifyWatchdog();
      co_await Pause(interval);
    }
  }

  Awaitable<void> DeliverOn() {
    for (;;) {
      LookAtClock();
      if (MaySend()) Guarded([this] { engine_.deliverer.Look(); });
      if (const auto waiting = engine_.queue->Waiting())
        waiting_.Set(static_cast<double>(*waiting));
      co_await Pause(kLookInterval);
    }
  }

  // Days and reports wait until we are somebody: a day for kCatchUpDays, a
  // report for as long as it takes.
  bool MaySend() const { return engine_.configuration->not_sending.empty(); }

  static void TellNotSending(const ReportConfiguration& configuration) {
    if (configuration.not_sending.empty()) return;
    Log(LogLevel::kError, "nothing_is_sent",
        {{"reason", configuration.not_sending},
         {"effect",
          "no report is made or sent; days wait for up to three days"},
         {"advice", "then reload: systemctl reload postern-report"}});
  }

  // Every few seconds, whatever else is long under way.
  void LookAtClock() {
    const bool was_even = clock_is_even_;
    clock_is_even_ =
        watch_.IsEven(engine_.clock->BootNow(), engine_.clock->WallNow());
    engine_.deliverer.BelieveClock(clock_is_even_);
    if (was_even && !clock_is_even_)
      Log(LogLevel::kWarn, "clock_stepped",
          {{"effect",
            "no day is closed and no report given up until the clock has gone "
            "evenly for ten minutes"}});
  }

  Awaitable<void> CloseDays() {
    for (;;) {
      // Once the clock is believed, what waited for that waits no longer.
      Seconds pause = clock_is_even_ ? kCloseInterval : kLookInterval;
      for (const Day day : DaysToClose(engine_.clock->WallNow())) {
        // Anew for each: a day takes its time.
        if (stopping_ || !clock_is_even_ || !MaySend() ||
            !HasEnded(day, engine_.clock->WallNow()))
          break;
        if (!co_await IsClosed(day)) pause = kCloseAgain;
      }
      co_await Pause(pause);
    }
  }

  Awaitable<bool> IsClosed(Day day) {
    bool closed = false;
    try {
      closed = co_await CloseIfOpen(day);
    } catch (const std::exception& error) {
      Log(LogLevel::kError, "day_not_closed",
          {{"day", FormatDay(day)}, {"reason", error.what()}});
    }
    co_return closed;
  }

  // False: it has to be tried again.
  Awaitable<bool> CloseIfOpen(Day day) {
    const auto closed = engine_.queue->IsClosed(day, engine_.clock->WallNow());
    if (closed && *closed) {
      NoteClosed(day);
      co_return true;
    }
    Result<BuiltDay> built = closed ? Error{""} : closed.error();
    std::string every_domain;
    DayBuilder::Progress silent;
    if (closed)
      built = co_await engine_.Queue(day, std::move(every_domain),
                                     std::move(silent));
    if (!built) {
      close_failed_.Increment();
      Log(LogLevel::kError, "day_not_closed",
          {{"day", FormatDay(day)},
           {"reason", built.error().message},
           {"effect", "it is tried again in five minutes; nothing is lost"}});
      co_return false;
    }
    NoteClosed(day);
    engine_.deliverer.Look();
    const Status forgotten = engine_.queue->Forget(
        std::max<uint32_t>(engine_.configuration->options.spool.keep_days, 4));
    if (!forgotten)
      Log(LogLevel::kWarn, "queue_not_cleaned",
          {{"reason", forgotten.error().message}});
    co_return true;
  }

  void NoteClosed(Day day) {
    const double seconds =
        static_cast<double>(WallTime(day).time_since_epoch().count());
    if (seconds > last_closed_.Value()) last_closed_.Set(seconds);
  }

  Awaitable<void> HandleSignals() {
    for (;;) {
      auto [error, number] =
          co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      if (number == SIGHUP) {
        if (!stopping_) Reload();
        continue;
      }
      if (std::exchange(stopping_, true)) break;  // twice: at once
      engine_.deliverer.Stop();
      Log(LogLevel::kInfo, "stopping",
          {{"under_way", engine_.deliverer.under_way()}});
      NotifyStopping();
      Spawn(loop_.get_executor(), EndAfterDeliveries());
    }
    loop_.stop();
  }

  // What was accepted must be written down: else it would be sent again.
  Awaitable<void> EndAfterDeliveries() {
    const SteadyTime deadline = engine_.clock->Now() + kEndPatience;
    while (engine_.deliverer.under_way() > 0 && engine_.clock->Now() < deadline)
      co_await Pause(std::chrono::milliseconds(20));
    loop_.stop();
  }

  // Blocks shortly. A bad configuration changes nothing.
  void Reload() {
    NotifyReloading();
    Status used = Error{""};
    try {
      auto line = ParseCommandLine(argc_, argv_);
      if (!line) {
        used = line.error();
      } else {
        auto loaded = LoadReportConfiguration(std::move(line->options), host_);
        used = loaded ? Take(std::move(*loaded)) : loaded.error();
      }
    } catch (const std::exception& error) {
      used = Error{error.what()};
    }
    if (used)
      Log(LogLevel::kInfo, "reloaded");
    else
      Log(LogLevel::kError, "reload_failed",
          {{"reason", used.error().message},
           {"effect", "the configuration stays as it was"}});
    NotifyReady("reporting");
    if (used) Spawn(loop_.get_executor(), engine_.CheckDkim());
  }

  Status Take(ReportConfigurationPtr wanted) {
    const ReportConfiguration& running = *engine_.configuration;
    const bool restart =
        wanted->QueuePath() != running.QueuePath() ||
        ReportAccount(wanted->options) != ReportAccount(running.options) ||
        !(wanted->options.report.metrics_listen ==
          running.options.report.metrics_listen);
    const LogLevel level = wanted->options.log.level;
    const Status used = engine_.Use(std::move(wanted));
    if (used) SetLogLevel(level);
    if (used) TellNotSending(*engine_.configuration);
    if (used && restart)
      Log(LogLevel::kWarn, "restart_needed",
          {{"keys",
            "report.queue_directory, report.metrics_listen, report.user, "
            "run.user or run.group"},
           {"effect", "these stay as they were"}});
    return used;
  }

  asio::io_context& loop_;
  ReportEngine& engine_;
  const std::string host_;
  int argc_;
  const char* const* argv_;
  // Caught from now on: who hears "ready" may send one at once.
  asio::signal_set signals_;
  MetricsServer metrics_server_;
  EvenClock watch_;
  bool clock_is_even_ = false;
  bool stopping_ = false;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& last_closed_;
  prometheus::Counter& close_failed_;
};

// None where it cannot be: reports are sent all the same.
std::vector<Listener> OpenMetrics(asio::io_context& loop,
                                  const Options& options) {
  std::vector<Listener> listeners;
  if (!options.report.metrics_listen) return listeners;
  auto listener = Listener::Open(
      loop, *options.report.metrics_listen,
      SocketFile::Mode{options.policy.socket_mode, options.policy.socket_group,
                       ReportAccount(options).user});
  if (listener)
    listeners.push_back(std::move(*listener));
  else
    Log(LogLevel::kError, "not_listening",
        {{"key", "report.metrics_listen"},
         {"reason", listener.error().message},
         {"advice", "mend it and restart"}});
  return listeners;
}

}  // namespace

int ServeReports(const CommandLine& line, int argc, const char* const* argv) {
  signal(SIGPIPE, SIG_IGN);
  asio::io_context loop(1);
  const std::string host = HostName();
  // What needs root comes first: a key may be root's alone.
  auto configuration = LoadReportConfiguration(line.options, host);
  if (!configuration) return Fail(configuration.error());
  const auto metrics = OpenMetrics(loop, line.options);
  if (const uint64_t files = RaiseOpenFiles(kFiles); files < kFiles)
    Log(LogLevel::kWarn, "few_open_files",
        {{"limit", files},
         {"wanted", kFiles},
         {"effect", "many posts at once may fail, and be tried again"},
         {"advice", "set LimitNOFILE"}});
  auto queue = OpenOwnQueue(**configuration);
  if (!queue) return Fail(queue.error());
  const auto taken = (*queue)->TakeDelivering();
  if (!taken) return Fail(taken.error());
  if (!*taken)
    return Fail(Error{"another postern-report delivers from " +
                      (*configuration)->QueuePath() +
                      " already; end that first"});
  auto engine = ReportEngine::Create(loop, *configuration, std::move(*queue));
  if (!engine) return Fail(engine.error());
  Reporter reporter(loop, **engine, host, argc, argv);
  reporter.Start(metrics);
  const Identity& identity = (*configuration)->identity;
  Log(LogLevel::kInfo, "ready",
      {{"config",
        line.config_file.empty() ? "(defaults)" : line.config_file.c_str()},
       {"organization", identity.submitter.organization_name},
       {"contact", identity.submitter.contact_info},
       {"sender", identity.sender},
       {"queue", (*configuration)->QueuePath()}});
  NotifyReady("reporting");
  RunLoop(loop, *(*engine)->clock, Restarts(*(*engine)->metrics, "loop"));
  Log(LogLevel::kInfo, "stopped");
  // Coroutines that still wait hold references into what would go first; the
  // kernel takes it all at once.
  std::_Exit(0);
}

}  // namespace postern
