// Coroutines of the loop thread: lookups read as straight lines.
//
// Rules: a coroutine takes values, or references to objects that outlive the
// loop's run. Nobody is resumed from inside the call that lets him go on.
// No lambda or braced list stands inside a co_await expression: g++ 12
// destroys such temporaries twice. Give them a name first.
#pragma once

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

// Runs `work` beside its caller. An exception (out of memory, our bug) ends
// that work alone and is logged: nothing dies silently.
inline void Spawn(const boost::asio::any_io_executor& executor,
                  Awaitable<void> work) {
  boost::asio::co_spawn(
      executor, std::move(work), [](const std::exception_ptr& exception) {
        if (!exception) return;
        try {
          std::rethrow_exception(exception);
        } catch (const std::exception& error) {
          Log(LogLevel::kError, "work_failed", {{"what", error.what()}});
        }
      });
}

}  // namespace postern
