#include "common/metrics_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "common/event.h"
#include "common/keep_running.h"

namespace postern {
namespace {

namespace asio = boost::asio;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kMaxRequest = 8192;
constexpr int kMaxScrapes = 16;
constexpr Seconds kMaxScrapeTime{5};

std::string Response(const char* status, const std::string& body) {
  return std::string("HTTP/1.1 ") + status +
         "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8"
         "\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
}

}  // namespace

// Owned by its coroutine; the timer that ends it holds it weakly.
struct MetricsServer::Connection {
  Connection(asio::io_context& loop, int& open) : socket(loop), count(open) {
    ++count;
  }
  ~Connection() { --count; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  asio::generic::stream_protocol::socket socket;
  std::unique_ptr<Timer> deadline;
  int& count;
};

MetricsServer::MetricsServer(asio::io_context& loop, Clock& clock,
                             Metrics& metrics)
    : loop_(loop), clock_(clock), metrics_(metrics) {}

void MetricsServer::Listen(const Listener& listener) {
  SpawnForever(
      loop_.get_executor(), clock_, metrics_, "accept-metrics",
      [this, acceptor = listener.acceptor()] { return Accept(acceptor); });
}

Awaitable<void> MetricsServer::Accept(
    std::shared_ptr<Listener::Acceptor> acceptor) {
  while (acceptor->is_open()) {
    const auto connection = std::make_shared<Connection>(loop_, open_);
    auto [error] = co_await acceptor->async_accept(connection->socket, kAwait);
    if (error || open_ > kMaxScrapes) {
      // Out of descriptors, or flooded: both pass.
      Event pause(loop_.get_executor(), clock_);
      co_await pause.WaitUntil(clock_.Now() + std::chrono::milliseconds(100));
      continue;
    }
    connection->deadline = clock_.CallAt(clock_.Now() + kMaxScrapeTime,
                                         [weak = std::weak_ptr(connection)] {
                                           boost::system::error_code ignored;
                                           if (const auto held = weak.lock())
                                             held->socket.close(ignored);
                                         });
    Spawn(loop_.get_executor(), Serve(connection));
  }
}

Awaitable<void> MetricsServer::Serve(std::shared_ptr<Connection> connection) {
  std::string request;
  auto [read_error, size] = co_await asio::async_read_until(
      connection->socket, asio::dynamic_buffer(request, kMaxRequest),
      "\r\n\r\n", kAwait);
  if (!read_error) {
    const std::string response =
        MetricsResponse(request.substr(0, request.find("\r\n")), metrics_);
    co_await asio::async_write(connection->socket, asio::buffer(response),
                               kAwait);
  }
}

std::string MetricsResponse(std::string_view request_line,
                            const Metrics& metrics) {
  if (!request_line.starts_with("GET "))
    return Response("405 Method Not Allowed", "only GET\n");
  if (!request_line.starts_with("GET /metrics "))
    return Response("404 Not Found", "see /metrics\n");
  return Response("200 OK", metrics.Text());
}

}  // namespace postern
