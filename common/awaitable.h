// Coroutines of the loop thread: lookups read as straight lines.
//
// Rules: a coroutine takes values, or references to objects that outlive the
// loop's run. Nobody is resumed from inside the call that lets him go on.
// No lambda or braced list stands inside a co_await expression: g++ 12
// destroys such temporaries twice. Give them a name first.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include "common/log.h"

namespace postern {

template <class T>
using Awaitable = boost::asio::awaitable<T>;

// Items of work of this process that an exception has ended.
inline std::atomic<uint64_t> failed_work{0};

inline void NoteFailedWork(const std::exception& error) {
  ++failed_work;
  Log(LogLevel::kError, "work_failed", {{"what", error.what()}});
}

// Does `work` at once. An exception (out of memory, our bug) ends that work
// alone, is logged and counted.
template <class Work>
void Guarded(Work work) {
  try {
    work();
  } catch (const std::exception& error) {
    NoteFailedWork(error);
  }
}

// Runs `work` beside its caller, guarded in the same way. What must not end is
// for KeepRunning() (keep_running.h).
inline void Spawn(const boost::asio::any_io_executor& executor,
                  Awaitable<void> work) {
  boost::asio::co_spawn(executor, std::move(work),
                        [](const std::exception_ptr& exception) {
                          if (!exception) return;
                          try {
                            std::rethrow_exception(exception);
                          } catch (const std::exception& error) {
                            NoteFailedWork(error);
                          }
                        });
}

}  // namespace postern
