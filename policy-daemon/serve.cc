#include "policy-daemon/serve.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <signal.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/datagram_socket.h"
#include "common/disk_thread.h"
#include "common/file_descriptor.h"
#include "common/keep_running.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/metrics_server.h"
#include "common/privileges.h"
#include "common/public_suffix.h"
#include "common/systemd.h"

#include "policy-daemon/engine.h"
#include "policy-daemon/journal_follower.h"
#include "policy-daemon/log_follower.h"
#include "policy-daemon/maillog_reader.h"
#include "policy-daemon/memory_bounds.h"
#include "policy-daemon/milter.h"
#include "policy-daemon/outcome_recorder.h"
#include "policy-daemon/socketmap_server.h"
#include "policy-daemon/tlsrpt_receiver.h"
#include "policy-daemon/warm_up.h"

namespace postern {
namespace {

namespace asio = boost::asio;

// Beside the connections: lookups in flight, each with a few sockets.
constexpr uint64_t kOtherFiles = 8192;
// For the disk to read the configuration.
constexpr Seconds kReloadPatience{60};
// Whose share of the spool a domain's outcomes are.
std::string OwnerOf(const std::string& domain) {
  return std::string(RegistrableDomain(domain));
}

// For what is left to write at the end.
constexpr Seconds kDiskPatience{10};
// For the lookups that the last outcomes need.
constexpr Seconds kFindingPatience{2};

int Fail(const Error& error) {
  Log(LogLevel::kError, "cannot_start", {{"reason", error.message}});
  return 2;
}

struct Sockets {
  std::vector<Listener> policy;
  std::vector<Listener> metrics;
  std::vector<Listener> milter;  // at most one
  std::vector<DatagramSocket> tlsrpt;
};

// Where a socket of systemd's belongs: by the name that its unit gives it, else
// by its address.
std::vector<Listener>& PlaceOf(const InheritedSocket& inherited,
                               const ListenAddress& address,
                               const Options& options, Sockets& sockets) {
  if (inherited.name == "metrics" || address == options.policy.metrics_listen)
    return sockets.metrics;
  if (inherited.name == "milter" || address == options.milter.listen)
    return sockets.milter;
  return sockets.policy;
}

// Those of the configuration that are not there yet.
Status OpenMissing(asio::io_context& loop,
                   const std::vector<ListenAddress>& addresses,
                   const SocketFile::Mode& mode,
                   std::vector<Listener>& listeners) {
  for (const ListenAddress& address : addresses) {
    const auto has_it = [&](const Listener& one) {
      return one.address() == address;
    };
    if (std::any_of(listeners.begin(), listeners.end(), has_it)) continue;
    auto listener = Listener::Open(loop, address, mode);
    if (!listener) return listener.error();
    listeners.push_back(std::move(*listener));
  }
  return Done{};
}

// Of the rest, no trouble is an Error: without it mail goes on as before, and
// without the daemon none does.
void OpenOptional(asio::io_context& loop, const char* key,
                  const std::optional<ListenAddress>& address,
                  const SocketFile::Mode& mode,
                  std::vector<Listener>& listeners) {
  if (!address) return;
  const Status opened = OpenMissing(loop, {*address}, mode, listeners);
  if (!opened)
    Log(LogLevel::kError, "not_listening",
        {{"key", key},
         {"reason", opened.error().message},
         {"advice", "mend it and restart"}});
}

void OpenTlsrpt(const std::vector<ListenAddress>& addresses,
                const SocketFile::Mode& mode,
                std::vector<DatagramSocket>& sockets) {
  for (const ListenAddress& address : addresses) {
    const auto has_it = [&](const DatagramSocket& one) {
      return one.path() == address.unix_path;
    };
    if (std::any_of(sockets.begin(), sockets.end(), has_it)) continue;
    auto socket = DatagramSocket::Open(address.unix_path, mode);
    if (socket)
      sockets.push_back(std::move(*socket));
    else
      Log(LogLevel::kError, "no_outcomes_from_postfix",
          {{"reason", socket.error().message},
           {"effect", "what Postfix tells of its sessions is lost"},
           {"advice", "mend it and restart, or set tlsrpt.listen = none"}});
  }
}

// A socket of systemd's for what is read from the log: with both, each session
// would count twice. It stays where it is, and nobody reads it.
void LeaveAlone(const InheritedSocket& inherited) {
  const FileDescriptor closed_here(inherited.fd);
  Log(LogLevel::kWarn, "socket_not_used",
      {{"socket", inherited.name.empty() ? "(datagrams)" : inherited.name},
       {"reason",
        "tlsrpt.maillog is set, and with both each session would count twice"},
       {"advice", "systemctl disable --now postern-tlsrpt.socket"}});
}

// The sockets handed over, and those of the configuration that are not among
// them.
Result<Sockets> OpenSockets(asio::io_context& loop, const Options& options) {
  Sockets sockets;
  auto inherited = InheritedSockets();
  if (!inherited) return inherited.error();
  for (const InheritedSocket& socket : *inherited) {
    const bool datagrams = socket.kind == InheritedSocket::Kind::kDatagram;
    if (datagrams && !options.tlsrpt.maillog.empty()) {
      LeaveAlone(socket);
      continue;
    }
    if (datagrams) {
      auto receiving = DatagramSocket::Adopt(socket.fd);
      if (!receiving) return receiving.error();
      sockets.tlsrpt.push_back(std::move(*receiving));
      continue;
    }
    auto listener = Listener::Adopt(loop, socket.fd);
    if (!listener) return listener.error();
    PlaceOf(socket, listener->address(), options, sockets)
        .push_back(std::move(*listener));
  }
  const Options::Policy& policy = options.policy;
  const SocketFile::Mode mode{policy.socket_mode, policy.socket_group,
                              options.run.user};
  const bool is_asked = !sockets.policy.empty();
  const Status opened = OpenMissing(loop, policy.listen, mode, sockets.policy);
  if (!opened && !is_asked) return opened.error();
  // Where systemd holds a socket that Postfix asks at, its mail is not to wait
  // for another one.
  if (!opened)
    Log(LogLevel::kError, "not_listening",
        {{"key", "policy.listen"},
         {"reason", opened.error().message},
         {"advice",
          "give it to systemd: one more ListenStream= in "
          "postern-policy.socket"}});
  OpenOptional(loop, "policy.metrics_listen", policy.metrics_listen, mode,
               sockets.metrics);
  if (sockets.milter.empty())
    OpenOptional(loop, "milter.listen", options.milter.listen, mode,
                 sockets.milter);
  OpenTlsrpt(options.tlsrpt.listen, mode, sockets.tlsrpt);
  return sockets;
}

void WantFiles(const Options& options) {
  const uint64_t wanted = options.policy.max_connections + kOtherFiles;
  const uint64_t files = RaiseOpenFiles(wanted);
  if (files < wanted)
    Log(LogLevel::kWarn, "few_open_files",
        {{"limit", files},
         {"wanted", wanted},
         {"advice", "set LimitNOFILE, or lower policy.max_connections"}});
}

void LogSockets(const std::vector<Listener>& listeners, const char* purpose) {
  for (const Listener& listener : listeners)
    Log(LogLevel::kInfo, "listening",
        {{"socket", listener.address().ToString()}, {"for", purpose}});
}

std::unique_ptr<LogSource> OpenMaillog(const Options& options) {
  const std::string position = options.cache.directory + "/maillog.position";
  if (options.tlsrpt.maillog == kSystemdJournal)
    return std::make_unique<JournalFollower>("", position);
  return std::make_unique<LogFollower>(options.tlsrpt.maillog, position,
                                       LogFollower::Settings());
}

// The running daemon: what signals act upon.
class Daemon {
 public:
  Daemon(asio::io_context& loop, Engine& engine, Sockets& sockets,
         Options options, int argc, const char* const* argv)
      : loop_(loop),
        engine_(engine),
        sockets_(sockets),
        options_(std::move(options)),
        argc_(argc),
        argv_(argv),
        signals_(loop, SIGTERM, SIGINT, SIGHUP),
        server_(loop, *engine.clock, engine.service,
                {.max_connections = options_.policy.max_connections},
                *engine.metrics),
        metrics_server_(loop, *engine.clock, *engine.metrics),
        warm_up_(
            loop.get_executor(), *engine.clock,
            [&engine](const std::string& next_hop) {
              return engine.service.WarmUp(next_hop);
            },
            *engine.metrics),
        recorder_(new OutcomeRecorder(
            {.directory = options_.spool.directory + "/outcomes",
             .keep_days = static_cast<int>(options_.spool.keep_days),
             .budget = {.day_bytes = options_.spool.max_bytes,
                        .owner_of = OwnerOf},
             .min_free = options_.spool.min_free},
            {.wall = [clock = engine.clock.get()] { return clock->WallNow(); },
             .boot = [clock = engine.clock.get()] { return clock->BootNow(); }},
            *engine.metrics)),
        files_(new DiskThread(loop.get_executor(), *engine.clock, [] {})),
        reloaded_(engine.metrics->Counter("postern_reloads_total",
                                          "Reloads of the configuration",
                                          {{"result", "ok"}})),
        reload_failed_(engine.metrics->Counter("postern_reloads_total",
                                               "Reloads of the configuration",
                                               {{"result", "failed"}})) {}

  Status Start() {
    for (const Listener& listener : sockets_.policy) server_.Listen(listener);
    for (const Listener& listener : sockets_.metrics)
      metrics_server_.Listen(listener);
    if (!sockets_.milter.empty()) {
      auto milter =
          Milter::Start(sockets_.milter.front().acceptor()->native_handle(),
                        [this](std::string next_hop) {
                          warm_up_.Offer(std::move(next_hop));
                        });
      if (!milter) return milter.error();
      milter_ = std::move(*milter);
    }
    engine_.findings.RecordTo([recorder = recorder_](Outcome outcome) {
      recorder->Record(std::move(outcome));
    });
    StartReceiving();
    if (!options_.tlsrpt.maillog.empty()) StartReadingLog();
    LogSockets(sockets_.policy, "policy");
    LogSockets(sockets_.metrics, "metrics");
    LogSockets(sockets_.milter, "milter");
    const auto executor = loop_.get_executor();
    Spawn(executor, engine_.resolver->Probe());
    Keep("probe", [this] { return engine_.resolver->KeepProbing(); });
    Keep("watch-purges", [this] {
      return engine_.store.Watch([this](const std::string& domain) {
        Log(LogLevel::kInfo, "purged",
            {{"domain", domain.empty() ? "(all)" : domain.c_str()}});
        engine_.service.Drop(domain);
      });
    });
    Keep("refresh", [this] { return engine_.refresher.Run(); });
    Keep("signals", [this] { return HandleSignals(); });
    if (const auto interval = WatchdogInterval())
      Keep("watchdog", [this, interval] { return ShowLife(*interval); });
    return Done{};
  }

  // What was sent is written. False: the disk hangs.
  bool FinishOutcomes() {
    const bool received = !receiver_ || receiver_->Stop(kDiskPatience);
    return recorder_->Finish(kDiskPatience) && received;
  }

 private:
  void Keep(std::string task, std::function<Awaitable<void>()> start) {
    SpawnForever(loop_.get_executor(), *engine_.clock, *engine_.metrics,
                 std::move(task), std::move(start));
  }

  void StartReceiving() {
    if (sockets_.tlsrpt.empty()) return;
    for (const DatagramSocket& socket : sockets_.tlsrpt)
      Log(LogLevel::kInfo, "listening",
          {{"socket", "unix:" + socket.path()}, {"for", "tlsrpt"}});
    if (const std::string advice = QueueAdvice(); !advice.empty())
      Log(LogLevel::kWarn, "short_datagram_queue", {{"advice", advice}});
    receiver_ =
        new TlsrptReceiver(std::exchange(sockets_.tlsrpt, {}), *recorder_);
  }

  // Before anything is answered: a session comes after its query.
  void StartReadingLog() {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    const auto report = [this](std::vector<Outcome> outcomes) {
      asio::post(loop_, [this, outcomes = std::move(outcomes)]() mutable {
        for (Outcome& outcome : outcomes)
          engine_.findings.RecordSession(std::move(outcome));
      });
    };
    reader_ =
        new MaillogReader([options = options_] { return OpenMaillog(options); },
                          host.data(), report, *engine_.metrics);
    server_.TellOfAnswers([reader = reader_](uint32_t pid, std::string_view key,
                                             AnsweredPolicyPtr policy) {
      reader->NoteQuery(pid, key, std::move(policy));
    });
    Log(LogLevel::kInfo, "reading_maillog", {{"log", options_.tlsrpt.maillog}});
  }

  // The watchdog hears of us as long as the loop turns.
  Awaitable<void> ShowLife(std::chrono::milliseconds interval) {
    for (;;) {
      NotifyWatchdog();
      Event pause(loop_.get_executor(), *engine_.clock);
      co_await pause.WaitUntil(engine_.clock->Now() + interval);
    }
  }

  Awaitable<void> HandleSignals() {
    for (;;) {
      auto [error, number] =
          co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      if (number == SIGHUP) {
        // Beside this: a disk that hangs must not keep SIGTERM waiting.
        reload_again_ = reloading_;
        if (!stopping_ && !std::exchange(reloading_, true))
          Spawn(loop_.get_executor(), Reload());
        continue;
      }
      if (std::exchange(stopping_, true)) break;  // twice: at once
      Log(LogLevel::kInfo, "stopping",
          {{"lookups", engine_.service.lookups_in_flight()}});
      NotifyStopping();
      for (auto* listeners :
           {&sockets_.policy, &sockets_.metrics, &sockets_.milter})
        for (Listener& listener : *listeners) listener.Close();
      if (receiver_) receiver_->Hide();
      server_.Stop();
      Spawn(loop_.get_executor(), EndAfterAnswers());
    }
    loop_.stop();
  }

  // Ends the loop once no answer is owed any more and what was found is told,
  // or the time for it is over.
  Awaitable<void> EndAfterAnswers() {
    std::function<bool()> owing = [this] { return server_.busy() > 0; };
    co_await WaitWhile(std::move(owing), options_.policy.answer_timeout);
    // What it reports comes to the loop before that.
    if (reader_) reader_->StopSoon();
    std::function<bool()> reading = [this] {
      return reader_ && !reader_->has_ended();
    };
    co_await WaitWhile(std::move(reading), kDiskPatience);
    if (reader_ && !reader_->has_ended())
      Log(LogLevel::kError, "maillog_not_read_to_its_end",
          {{"reason", "the disk hangs"}});
    engine_.outage.Finish();
    std::function<bool()> finding = [this] { return engine_.findings.busy(); };
    co_await WaitWhile(std::move(finding), kFindingPatience);
    if (const size_t left = engine_.findings.GiveUp())
      Log(LogLevel::kWarn, "outcomes_not_looked_up",
          {{"lost", left}, {"reason", "DNS did not answer in time"}});
    loop_.stop();
  }

  Awaitable<void> WaitWhile(std::function<bool()> condition,
                            std::chrono::milliseconds patience) {
    Clock& clock = *engine_.clock;
    const SteadyTime deadline = clock.Now() + patience;
    do {
      Event pause(loop_.get_executor(), clock);
      co_await pause.WaitUntil(clock.Now() + std::chrono::milliseconds(20));
    } while (condition() && clock.Now() < deadline);
  }

  // A bad configuration changes nothing.
  Awaitable<void> Reload() {
    struct Ending {
      ~Ending() { reloading = false; }
      bool& reloading;
    };
    const Ending ending{reloading_};
    do {
      reload_again_ = false;
      co_await ReloadOnce();
    } while (reload_again_);
  }

  Awaitable<void> ReloadOnce() {
    NotifyReloading();
    using Loaded = Result<Configuration>;
    std::function<Loaded()> load = [argc = argc_, argv = argv_]() -> Loaded {
      auto line = ParseCommandLine(argc, argv);
      if (!line) return line.error();
      return LoadConfiguration(std::move(line->options));
    };
    Status used = Error{"the files could not be read in time"};
    try {
      auto loaded =
          co_await files_->Run<Loaded>(std::move(load), kReloadPatience);
      if (loaded) used = *loaded ? Take(std::move(**loaded)) : loaded->error();
    } catch (const std::exception& error) {
      used = Error{error.what()};
    }
    if (used) {
      reloaded_.Increment();
    } else {
      reload_failed_.Increment();
      Log(LogLevel::kError, "reload_failed",
          {{"reason", used.error().message},
           {"effect", "the configuration stays as it was"}});
    }
    NotifyReady("answering");
  }

  Status Take(Configuration configuration) {
    // What takes a restart.
    const Options::Tlsrpt wanted = configuration.options.tlsrpt;
    configuration.options.tlsrpt = options_.tlsrpt;
    Options options = configuration.options;
    options.tlsrpt = wanted;
    const size_t overrides = configuration.overrides.size();
    const Status used = engine_.Use(std::move(configuration));
    if (!used) return used;
    const std::string restart = KeysForRestart(options_, options);
    server_.Use({.max_connections = options.policy.max_connections});
    WantFiles(options);
    SetLogLevel(options.log.level);
    // What is not taken up now must be seen to differ the next time, too.
    options_.policy.answer_timeout = options.policy.answer_timeout;
    Log(LogLevel::kInfo, "reloaded", {{"overrides", overrides}});
    if (!restart.empty())
      Log(LogLevel::kWarn, "restart_needed",
          {{"keys", restart}, {"effect", "these stay as they were"}});
    // Whether a new resolver validates is to be known soon.
    Spawn(loop_.get_executor(), engine_.resolver->Probe());
    return Done{};
  }

  asio::io_context& loop_;
  Engine& engine_;
  Sockets& sockets_;
  Options options_;
  int argc_;
  const char* const* argv_;
  // Caught from now on: who hears "ready" may send one at once.
  asio::signal_set signals_;
  SocketmapServer server_;
  MetricsServer metrics_server_;
  WarmUp warm_up_;
  // Left to the end of the process where the disk hangs.
  OutcomeRecorder* const recorder_;
  TlsrptReceiver* receiver_ = nullptr;
  MaillogReader* reader_ = nullptr;
  // Files of the administrator's may hang, or take long: not where policies
  // are read. It is left to the end of the process, whatever it does.
  DiskThread* const files_;
  std::unique_ptr<Milter> milter_;
  bool stopping_ = false;
  bool reloading_ = false;
  bool reload_again_ = false;  // another SIGHUP came meanwhile
  prometheus::Counter& reloaded_;
  prometheus::Counter& reload_failed_;
};

}  // namespace

int Serve(const CommandLine& line, int argc, const char* const* argv) {
  signal(SIGPIPE, SIG_IGN);
  asio::io_context loop(1);
  auto configuration = LoadConfiguration(line.options);
  if (!configuration) return Fail(configuration.error());
  const Options options = configuration->options;

  // What needs root comes first.
  auto sockets = OpenSockets(loop, options);
  if (!sockets) return Fail(sockets.error());
  WantFiles(options);
  if (const auto warning = OwnMemoryWarning(options))
    Log(LogLevel::kWarn, "bounds_exceed_memory", {{"reason", *warning}});
  const Options::Run& run = options.run;
  const Status folder =
      PrepareFolder(options.cache.directory, run.user, run.group, 0700);
  if (!folder)
    Log(LogLevel::kError, "no_cache_directory",
        {{"reason", folder.error().message},
         {"effect", "policies are remembered in memory alone"},
         {"advice", "make it for run.user, or set cache.directory"}});
  const Status spool =
      PrepareFolder(options.spool.directory, run.user, run.group);
  if (!spool)
    Log(LogLevel::kError, "no_spool_directory",
        {{"reason", spool.error().message},
         {"effect", "outcomes are lost until it is there"},
         {"advice", "make it for run.user, or set spool.directory"}});
  const Status become = BecomeUser(run.user, run.group);
  if (!become) return Fail(become.error());

  auto engine =
      Engine::Create(loop, std::move(*configuration), Engine::Memory::kOwn);
  if (!engine) return Fail(engine.error());
  Daemon daemon(loop, **engine, *sockets, options, argc, argv);
  const Status started = daemon.Start();
  // Threads run already, on what would go first.
  if (!started) std::_Exit(Fail(started.error()));
  Log(LogLevel::kInfo, "ready",
      {{"config",
        line.config_file.empty() ? "(defaults)" : line.config_file.c_str()}});
  NotifyReady("answering");
  RunLoop(loop, *(*engine)->clock, Restarts(*(*engine)->metrics, "loop"));
  if (!(*engine)->store.Close())
    Log(LogLevel::kError, "policies_not_written",
        {{"reason", "the disk hangs"},
         {"effect", "what was fetched last may have to be fetched again"}});
  if (!daemon.FinishOutcomes())
    Log(LogLevel::kError, "outcomes_not_written",
        {{"reason", "the disk hangs"},
         {"effect", "what Postfix told of last is lost"}});
  Log(LogLevel::kInfo, "stopped");
  for (auto* listeners :
       {&sockets->policy, &sockets->metrics, &sockets->milter})
    for (Listener& listener : *listeners) listener.Close();
  // Coroutines that still wait hold references into what would go first; the
  // kernel takes it all at once.
  std::_Exit(0);
}

}  // namespace postern
