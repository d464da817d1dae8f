#include "policy-daemon/serve.h"

#include <cstdlib>

#include <signal.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/listener.h"
#include "common/log.h"
#include "common/metrics_server.h"
#include "common/privileges.h"

#include "policy-daemon/engine.h"
#include "policy-daemon/socketmap_server.h"

namespace postern {
namespace {

namespace asio = boost::asio;

// Beside the connections: lookups in flight, each with a few sockets.
constexpr uint64_t kOtherFiles = 8192;

int Fail(const Error& error) {
  Log(LogLevel::kError, "cannot_start", {{"reason", error.message}});
  return 2;
}

// Ends the loop once no answer is owed any more, or its time is over.
Awaitable<void> EndAfterAnswers(asio::io_context& loop, Clock& clock,
                                SocketmapServer& server,
                                std::chrono::milliseconds patience) {
  const SteadyTime deadline = clock.Now() + patience;
  while (server.busy() > 0 && clock.Now() < deadline) {
    Event pause(loop.get_executor(), clock);
    co_await pause.WaitUntil(clock.Now() + std::chrono::milliseconds(20));
  }
  loop.stop();
}

Awaitable<void> HandleSignals(asio::io_context& loop, Engine& engine,
                              SocketmapServer& server,
                              std::vector<Listener>& listeners,
                              std::chrono::milliseconds patience) {
  asio::signal_set signals(loop, SIGTERM, SIGINT, SIGHUP);
  for (bool stopping = false;;) {
    auto [error, number] =
        co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    if (number == SIGHUP) {
      Log(LogLevel::kWarn, "reload_not_supported",
          {{"advice", "restart the daemon to take up a new configuration"}});
      continue;
    }
    if (std::exchange(stopping, true)) break;  // twice: at once
    Log(LogLevel::kInfo, "stopping",
        {{"lookups", engine.service.lookups_in_flight()}});
    server.Stop();
    for (Listener& listener : listeners) listener.Close();
    Spawn(loop.get_executor(),
          EndAfterAnswers(loop, *engine.clock, server, patience));
  }
  loop.stop();
}

Result<std::vector<Listener>> OpenAll(asio::io_context& loop,
                                      const Options& options) {
  const Options::Policy& policy = options.policy;
  const Listener::UnixMode mode{policy.socket_mode, policy.socket_group,
                                options.run.user};
  std::vector<Listener> listeners;
  for (const ListenAddress& address : policy.listen) {
    auto listener = Listener::Open(loop, address, mode);
    if (!listener) return listener.error();
    listeners.push_back(std::move(*listener));
  }
  if (policy.metrics_listen) {
    auto listener = Listener::Open(loop, *policy.metrics_listen, mode);
    if (!listener) return listener.error();
    listeners.push_back(std::move(*listener));
  }
  return listeners;
}

}  // namespace

int Serve(const CommandLine& line) {
  const Options& options = line.options;
  signal(SIGPIPE, SIG_IGN);
  asio::io_context loop(1);

  auto listeners = OpenAll(loop, options);
  if (!listeners) return Fail(listeners.error());
  auto engine = Engine::Create(loop, options);
  if (!engine) return Fail(engine.error());
  const uint64_t wanted = options.policy.max_connections + kOtherFiles;
  const uint64_t files = RaiseOpenFiles(wanted);
  if (files < wanted)
    Log(LogLevel::kWarn, "few_open_files",
        {{"limit", files},
         {"wanted", wanted},
         {"advice", "set LimitNOFILE, or lower policy.max_connections"}});
  const Status become = BecomeUser(options.run.user, options.run.group);
  if (!become) return Fail(become.error());

  MetricsServer metrics_server(loop, *(*engine)->clock, *(*engine)->metrics);
  SocketmapServer server(loop, *(*engine)->clock, (*engine)->service,
                         {.max_connections = options.policy.max_connections},
                         *(*engine)->metrics);
  for (size_t i = 0; i < listeners->size(); ++i) {
    const Listener& listener = (*listeners)[i];
    if (i < options.policy.listen.size())
      server.Listen(listener);
    else
      metrics_server.Listen(listener);
    Log(LogLevel::kInfo, "listening",
        {{"socket", listener.address().ToString()},
         {"for", i < options.policy.listen.size() ? "policy" : "metrics"}});
  }
  const auto executor = loop.get_executor();
  Spawn(executor, (*engine)->resolver->Probe());
  Spawn(executor, (*engine)->resolver->KeepProbing());
  Spawn(executor, HandleSignals(loop, **engine, server, *listeners,
                                options.policy.answer_timeout));
  Log(LogLevel::kInfo, "ready",
      {{"config",
        line.config_file.empty() ? "(defaults)" : line.config_file.c_str()}});
  loop.run();
  Log(LogLevel::kInfo, "stopped");
  for (Listener& listener : *listeners) listener.Close();
  // Coroutines that still wait hold references into what would go first; the
  // kernel takes it all at once.
  std::_Exit(0);
}

}  // namespace postern
