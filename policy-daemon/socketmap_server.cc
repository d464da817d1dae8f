#include "policy-daemon/socketmap_server.h"

#include <algorithm>
#include <array>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "common/log.h"

#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// Longer than any Postfix keeps a connection (100 s); closing an idle one is
// harmless, it reconnects.
constexpr Seconds kMaxIdle{600};
// For the rest of a request that has begun, and for a reply to be taken.
constexpr Seconds kMaxStall{30};
constexpr Seconds kSweepInterval{10};
// Out of descriptors: wait for some to close.
constexpr std::chrono::milliseconds kAcceptPause{100};
// Enough for every usual request; grows to kMaxRequestBytes if one needs it.
constexpr size_t kFirstBuffer = 384;

}  // namespace

// Owned by the server's list and by the coroutine that serves it.
struct SocketmapServer::Connection {
  explicit Connection(Socket s) : socket(std::move(s)) {}

  std::string_view unread() const { return {buffer.data(), filled}; }
  void ConsumeRequest() {
    std::copy(buffer.begin() + static_cast<long>(request_size),
              buffer.begin() + static_cast<long>(filled), buffer.begin());
    filled -= std::exchange(request_size, 0);
    half_read = false;
  }

  Socket socket;
  std::list<std::shared_ptr<Connection>>::iterator place;
  std::vector<char> buffer = std::vector<char>(kFirstBuffer);
  size_t filled = 0;
  // The request that is being answered: it begins the buffer.
  size_t request_size = 0;
  std::string key;
  Dialect dialect = Dialect::kPolicy;
  std::string unsent;      // of its reply
  bool half_read = false;  // a request has begun
  bool looking_up = false;
  SteadyTime patience{};  // when the wait for the client is over
};

SocketmapServer::SocketmapServer(asio::io_context& loop, Clock& clock,
                                 PolicyService& service, Settings settings,
                                 Metrics& metrics)
    : loop_(loop),
      clock_(clock),
      service_(service),
      lookup_turns_(loop.get_executor(), clock),
      settings_(settings),
      open_(metrics.Gauge("postern_connections", "Open socketmap connections")),
      accepted_(metrics.Counter("postern_connections_total",
                                "Socketmap connections accepted")),
      malformed_(metrics.Counter("postern_malformed_requests_total",
                                 "Connections closed for bad framing")),
      unknown_map_(metrics.Counter("postern_unknown_map_total",
                                   "Requests for a map that is not served")) {
  Spawn(loop_.get_executor(), Sweep());
}

void SocketmapServer::Listen(const Listener& listener) {
  acceptors_.push_back(listener.acceptor());
  Spawn(loop_.get_executor(), Accept(listener.acceptor()));
}

void SocketmapServer::Stop() {
  stopping_ = true;
  error_code ignored;
  for (const auto& acceptor : acceptors_) acceptor->close(ignored);
  for (const auto& connection : connections_)
    if (connection->request_size == 0) connection->socket.close(ignored);
}

size_t SocketmapServer::busy() const {
  return static_cast<size_t>(
      std::count_if(connections_.begin(), connections_.end(),
                    [](const auto& one) { return one->request_size > 0; }));
}

Awaitable<void> SocketmapServer::Accept(
    std::shared_ptr<Listener::Acceptor> acceptor) {
  while (acceptor->is_open()) {
    Socket socket(loop_);
    auto [error] = co_await acceptor->async_accept(socket, kAwait);
    if (stopping_) co_return;
    if (error == asio::error::connection_aborted) continue;
    if (error) {
      // EMFILE and the like must not end the listener.
      uint64_t suppressed = 0;
      if (accept_log_.Allow(clock_.Now(), &suppressed))
        Log(LogLevel::kError, "accept_failed",
            {{"reason", error.message()},
             {"suppressed", suppressed},
             {"advice", "raise the limit of open files (LimitNOFILE)"}});
      Event pause(loop_.get_executor(), clock_);
      co_await pause.WaitUntil(clock_.Now() + kAcceptPause);
      continue;
    }
    while (connections_.size() >= settings_.max_connections && !MakeRoom()) {
      // All are asking: whoever comes now waits in the backlog.
      Event pause(loop_.get_executor(), clock_);
      co_await pause.WaitUntil(clock_.Now() + kAcceptPause);
      if (stopping_) co_return;
    }
    accepted_.Increment();
    socket.non_blocking(true, error);
    // A small answer must not wait for the client's acknowledgement.
    if (acceptor->local_endpoint(error).protocol().family() != AF_UNIX)
      socket.set_option(asio::ip::tcp::no_delay(true), error);
    const auto connection = std::make_shared<Connection>(std::move(socket));
    connection->place = connections_.insert(connections_.end(), connection);
    open_.Set(static_cast<double>(connections_.size()));
    Spawn(loop_.get_executor(), Serve(connection));
  }
}

// Closing an idle connection is harmless to Postfix; refusing a new one is not.
bool SocketmapServer::MakeRoom() {
  const Connection* longest = nullptr;
  for (const auto& connection : connections_) {
    const bool idle = connection->socket.is_open() && connection->filled == 0;
    if (idle && (!longest || connection->patience < longest->patience))
      longest = connection.get();
  }
  uint64_t suppressed = 0;
  if (room_log_.Allow(clock_.Now(), &suppressed))
    Log(LogLevel::kWarn, "too_many_connections",
        {{"max", settings_.max_connections},
         {"suppressed", suppressed},
         {"advice", "raise policy.max_connections"}});
  if (!longest) return false;
  error_code ignored;
  (*longest->place)->socket.close(ignored);
  return true;
}

// Takes a connection off the list, however its service ends.
struct SocketmapServer::Departure {
  ~Departure() {
    error_code ignored;
    connection->socket.close(ignored);
    server.connections_.erase(connection->place);
    server.open_.Set(static_cast<double>(server.connections_.size()));
  }
  SocketmapServer& server;
  std::shared_ptr<Connection> connection;
};

Awaitable<void> SocketmapServer::Serve(std::shared_ptr<Connection> connection) {
  Connection& c = *connection;
  const Departure departure{*this, connection};
  for (;;) {
    if (c.filled == 0) {
      c.patience = clock_.Now() + kMaxIdle;
    } else if (!std::exchange(c.half_read, true)) {
      // From its first bytes on: a byte now and then buys no time.
      c.patience = clock_.Now() + kMaxStall;
    }
    auto [error, bytes] = co_await c.socket.async_read_some(
        asio::buffer(c.buffer.data() + c.filled, c.buffer.size() - c.filled),
        kAwait);
    if (error) break;
    c.filled += bytes;
    Next next = AnswerKnown(c);
    while (next == Next::kLookup || next == Next::kFlush) {
      if (next == Next::kLookup) {
        c.looking_up = true;
        // To start a lookup costs as much as dozens of known answers.
        co_await lookup_turns_.Next();
        const std::string reply =
            co_await service_.Answer(std::move(c.key), c.dialect);
        c.looking_up = false;
        next = Send(c, reply);
      } else {
        c.patience = clock_.Now() + kMaxStall;
        auto [failed, sent] = co_await asio::async_write(
            c.socket, asio::buffer(c.unsent), kAwait);
        c.unsent.clear();
        next = failed ? Next::kClose : Next::kRead;
      }
      if (next == Next::kRead) {
        c.ConsumeRequest();
        next = AnswerKnown(c);
      }
    }
    if (next == Next::kClose || stopping_) break;
    if (c.filled == c.buffer.size()) c.buffer.resize(kMaxRequestBytes);
  }
}

SocketmapServer::Next SocketmapServer::AnswerKnown(Connection& c) {
  for (;;) {
    const NetstringParse parse = ParseNetstring(c.unread());
    if (parse.state == NetstringParse::State::kIncomplete) return Next::kRead;
    if (parse.state == NetstringParse::State::kMalformed) {
      malformed_.Increment();
      return Next::kClose;
    }
    c.request_size = parse.consumed;
    const SocketmapRequest request = SplitRequest(parse.payload);
    const auto dialect = DialectOfMap(request.map);
    Next next = Next::kRead;
    if (!dialect) {
      unknown_map_.Increment();
      next = Send(c, EncodeNetstring(
                         PermReply("unknown map " + std::string(request.map))));
    } else if (const auto known = service_.AnswerNow(request.key, *dialect);
               !known.empty()) {
      next = Send(c, known);
    } else {
      c.key = request.key;
      c.dialect = *dialect;
      return Next::kLookup;
    }
    if (next != Next::kRead) return next;
    c.ConsumeRequest();
  }
}

SocketmapServer::Next SocketmapServer::Send(Connection& c,
                                            std::string_view reply) {
  error_code error;
  // Nearly always all of it fits: no wait, and no copy of the view.
  const size_t written =
      c.socket.write_some(asio::buffer(reply.data(), reply.size()), error);
  if (!error && written == reply.size()) return Next::kRead;
  if (error && error != asio::error::would_block) return Next::kClose;
  c.unsent = reply.substr(error ? 0 : written);
  return Next::kFlush;
}

// Ends the waits that are over; a timer for each request would cost more than
// the answer.
Awaitable<void> SocketmapServer::Sweep() {
  while (!stopping_) {
    Event pause(loop_.get_executor(), clock_);
    co_await pause.WaitUntil(clock_.Now() + kSweepInterval);
    const SteadyTime now = clock_.Now();
    error_code ignored;
    for (const auto& connection : connections_)
      if (!connection->looking_up && connection->patience < now)
        connection->socket.close(ignored);
  }
}

}  // namespace postern
