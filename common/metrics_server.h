// GET /metrics over HTTP/1.1, one request a connection.
//
// Why not Beast: this needs one request line and one answer. Bounds: 8 KiB of
// request, kMaxScrapes at once, a few seconds each.
#pragma once

#include <boost/asio/io_context.hpp>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/listener.h"
#include "common/metrics.h"

namespace postern {

class MetricsServer {
 public:
  // Everything given by reference outlives the server's coroutines.
  MetricsServer(boost::asio::io_context& loop, Clock& clock, Metrics& metrics);

  void Listen(const Listener& listener);

 private:
  struct Connection;

  Awaitable<void> Accept(std::shared_ptr<Listener::Acceptor> acceptor);
  Awaitable<void> Serve(std::shared_ptr<Connection> connection);

  boost::asio::io_context& loop_;
  Clock& clock_;
  Metrics& metrics_;
  int open_ = 0;  // the one that is waited for included
};

// The whole HTTP answer to a request that begins with `request_line`.
std::string MetricsResponse(std::string_view request_line,
                            const Metrics& metrics);

}  // namespace postern
