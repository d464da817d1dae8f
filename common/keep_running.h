// What must not end: the loop, and the coroutines that run for ever.
//
// An exception (out of memory, our bug) ends the item that it met: Spawn()
// (awaitable.h) logs and counts it. Where it ends what runs for ever, that
// starts again after kRestartPause, is logged and counted in
// postern_task_restarts_total. The kMaxRestarts-th time within kRestartWindow
// the process aborts: a supervisor starts it afresh, and sees that it failed.
#pragma once

#include <deque>
#include <functional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/metrics.h"

namespace postern {

inline constexpr Seconds kRestartPause{1};
inline constexpr Seconds kRestartWindow{60};
inline constexpr size_t kMaxRestarts = 5;

// The restarts of one task.
class Restarts {
 public:
  // `task`: its name in log and metric. `give_up` ends the process.
  Restarts(Metrics& metrics, std::string task,
           std::function<void()> give_up = Abort);

  // The task ended of an exception.
  void Note(SteadyTime now, const char* what);

 private:
  static void Abort();

  std::string task_;
  std::function<void()> give_up_;
  prometheus::Counter& count_;
  std::deque<SteadyTime> lately_;
};

// Runs what `start` returns, and starts it again where an exception ends it.
// Ends when it ends by itself. `clock` outlives it.
Awaitable<void> KeepRunning(boost::asio::any_io_executor executor, Clock& clock,
                            Restarts restarts,
                            std::function<Awaitable<void>()> start);

// The same, beside the caller; `task` is its name in log and metric.
void SpawnForever(boost::asio::any_io_executor executor, Clock& clock,
                  Metrics& metrics, std::string task,
                  std::function<Awaitable<void>()> start);

// loop.run(), which goes on after a handler has thrown.
void RunLoop(boost::asio::io_context& loop, Clock& clock, Restarts restarts);

}  // namespace postern
