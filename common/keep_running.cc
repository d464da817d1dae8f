#include "common/keep_running.h"

#include <cstdlib>
#include <utility>

#include "common/event.h"
#include "common/log.h"

namespace postern {

Restarts::Restarts(Metrics& metrics, std::string task,
                   std::function<void()> give_up)
    : task_(std::move(task)),
      give_up_(std::move(give_up)),
      count_(metrics.Counter("postern_task_restarts_total",
                             "Parts of the program that an error has ended, "
                             "and that were started again",
                             {{"task", task_}})) {}

void Restarts::Abort() { std::abort(); }

void Restarts::Note(SteadyTime now, const char* what) {
  count_.Increment();
  while (!lately_.empty() && now - lately_.front() >= kRestartWindow)
    lately_.pop_front();
  lately_.push_back(now);
  const bool again = lately_.size() < kMaxRestarts;
  Log(LogLevel::kError, "task_failed",
      {{"task", task_},
       {"what", what},
       {"effect", again ? "it is started again"
                        : "it fails again and again: the program ends, to be "
                          "started afresh"}});
  if (!again) give_up_();
}

Awaitable<void> KeepRunning(boost::asio::any_io_executor executor, Clock& clock,
                            Restarts restarts,
                            std::function<Awaitable<void>()> start) {
  for (;;) {
    // Nothing can be awaited in a handler of exceptions.
    std::string what;
    try {
      Awaitable<void> work = start();
      co_await std::move(work);
      co_return;
    } catch (const std::exception& error) {
      what = error.what();
    }
    restarts.Note(clock.Now(), what.c_str());
    Event pause(executor, clock);
    co_await pause.WaitUntil(clock.Now() + kRestartPause);
  }
}

void SpawnForever(boost::asio::any_io_executor executor, Clock& clock,
                  Metrics& metrics, std::string task,
                  std::function<Awaitable<void>()> start) {
  Spawn(executor,
        KeepRunning(executor, clock, Restarts(metrics, std::move(task)),
                    std::move(start)));
}

void RunLoop(boost::asio::io_context& loop, Clock& clock, Restarts restarts) {
  for (;;) {
    try {
      loop.run();
      return;
    } catch (const std::exception& error) {
      restarts.Note(clock.Now(), error.what());
    }
  }
}

}  // namespace postern
