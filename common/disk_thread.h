// DiskThread: what blocks (SQLite, files) runs here, never on the loop.
//
// One thread, jobs in the order they were given. It and the loop exchange
// values only: a job owns what it needs, and its result is moved back. When
// the queue runs dry, or at least every kMaxBatch jobs, `settle` is called:
// the place to commit what the jobs began, so that a burst of writes costs one
// sync.
//
// Contract: Post() and Run() from the loop thread; jobs and `settle` run on
// the disk thread. What one throws is logged, and the next one runs; Run()
// then returns nullopt at once. Finish() or the destructor run what is
// queued.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/event.h"

namespace postern {

class DiskThread {
 public:
  using Job = std::function<void()>;

  // `clock` and the executor's loop outlive the thread.
  DiskThread(boost::asio::any_io_executor executor, Clock& clock, Job settle);
  ~DiskThread();
  DiskThread(const DiskThread&) = delete;
  DiskThread& operator=(const DiskThread&) = delete;

  // Runs what is queued and ends the thread; nothing may be posted any more.
  // False: it did not end within `patience` of real time, and never will.
  bool Finish(Seconds patience);

  // False: too many jobs wait (the disk hangs), and this one is dropped.
  bool Post(Job job);

  // What `work` returns; nullopt where it did not end within `patience`, or
  // too many jobs wait.
  template <class T>
  Awaitable<std::optional<T>> Run(std::function<T()> work, Seconds patience) {
    struct Shared {
      Shared(boost::asio::any_io_executor executor, Clock& clock)
          : done(std::move(executor), clock) {}
      Event done;
      std::optional<T> value;
    };
    const auto shared = std::make_shared<Shared>(executor_, clock_);
    const bool posted = Post([this, shared, work = std::move(work)]() mutable {
      // The event belongs to the loop. It is told however the work ends.
      struct Tell {
        boost::asio::any_io_executor executor;
        std::shared_ptr<Shared> shared;
        ~Tell() {
          boost::asio::post(
              executor, [shared = std::move(shared)] { shared->done.Set(); });
        }
      };
      const Tell tell{executor_, shared};
      shared->value.emplace(work());
    });
    if (!posted) co_return std::nullopt;
    if (!co_await shared->done.WaitUntil(clock_.Now() + patience))
      co_return std::nullopt;
    co_return std::move(shared->value);
  }

 private:
  void Work();

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Job settle_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;  // guarded by mutex_
  bool ending_ = false;    // guarded by mutex_
  bool ended_ = false;     // guarded by mutex_
  std::thread thread_;
};

}  // namespace postern
