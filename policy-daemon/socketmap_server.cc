#include "policy-daemon/socketmap_server.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/keep_running.h"
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
// Read and answered in one of the loop's rounds.
constexpr size_t kAtOnce = 128;

// Of the process that connected; 0: over TCP.
uint32_t PeerPid(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
             ? static_cast<uint32_t>(peer.pid)
             : 0;
}

}  // namespace

struct SocketmapServer::Connection {
  Connection(FileDescriptor socket, uint64_t number)
      : fd(std::move(socket)), id(number) {}

  std::string_view unread() const { return {buffer.data(), filled}; }
  void ConsumeRequest() {
    std::copy(buffer.begin() + static_cast<long>(request_size),
              buffer.begin() + static_cast<long>(filled), buffer.begin());
    filled -= std::exchange(request_size, 0);
    half_read = false;
  }

  const FileDescriptor fd;
  const uint64_t id;
  uint32_t pid = 0;  // of the client, where answers are told of; 0: not known
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
      metrics_(metrics),
      lookup_turns_(loop.get_executor(), clock),
      settings_(settings),
      sockets_(loop, kAtOnce,
               [this](uint64_t id, uint32_t /*events*/) { OnReady(id); }),
      open_(metrics.Gauge("postern_connections", "Open socketmap connections")),
      accepted_(metrics.Counter("postern_connections_total",
                                "Socketmap connections accepted")),
      malformed_(metrics.Counter("postern_malformed_requests_total",
                                 "Connections closed for bad framing")),
      unknown_map_(metrics.Counter("postern_unknown_map_total",
                                   "Requests for a map that is not served")) {
  SpawnForever(loop_.get_executor(), clock_, metrics, "sweep",
               [this] { return Sweep(); });
}

void SocketmapServer::Listen(const Listener& listener) {
  acceptors_.push_back(listener.acceptor());
  SpawnForever(
      loop_.get_executor(), clock_, metrics_, "accept",
      [this, acceptor = listener.acceptor()] { return Accept(acceptor); });
}

void SocketmapServer::Stop() {
  stopping_ = true;
  error_code ignored;
  for (const auto& acceptor : acceptors_) acceptor->close(ignored);
  CloseIf([](const Connection& one) { return one.request_size == 0; });
}

size_t SocketmapServer::busy() const {
  return static_cast<size_t>(std::count_if(
      connections_.begin(), connections_.end(),
      [](const auto& one) { return one.second->request_size > 0; }));
}

Awaitable<void> SocketmapServer::Accept(
    std::shared_ptr<Listener::Acceptor> acceptor) {
  while (acceptor->is_open()) {
    boost::asio::generic::stream_protocol::socket socket(loop_);
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
    // A small answer must not wait for the client's acknowledgement.
    if (acceptor->local_endpoint(error).protocol().family() != AF_UNIX)
      socket.set_option(asio::ip::tcp::no_delay(true), error);
    if (FileDescriptor fd(socket.release(error)); !error)
      Guarded([&] { Take(std::move(fd)); });
  }
}

void SocketmapServer::Take(FileDescriptor socket) {
  const uint64_t id = next_id_++;
  const auto connection = std::make_shared<Connection>(std::move(socket), id);
  const int fd = connection->fd.get();
  if (!sockets_.Add(fd, EPOLLIN, id)) return;
  if (on_answer_) connection->pid = PeerPid(fd);
  connection->patience = clock_.Now() + kMaxIdle;
  connections_[id] = connection;
  accepted_.Increment();
  open_.Set(static_cast<double>(connections_.size()));
}

void SocketmapServer::Close(const Connection& connection) {
  connections_.erase(connection.id);
  open_.Set(static_cast<double>(connections_.size()));
}

void SocketmapServer::CloseIf(
    const std::function<bool(const Connection&)>& is_over) {
  boost::unordered::erase_if(
      connections_, [&](const auto& one) { return is_over(*one.second); });
  open_.Set(static_cast<double>(connections_.size()));
}

// Closing an idle connection is harmless to Postfix; refusing a new one is not.
bool SocketmapServer::MakeRoom() {
  const Connection* longest = nullptr;
  for (const auto& [id, connection] : connections_) {
    if (connection->filled == 0 &&
        (!longest || connection->patience < longest->patience))
      longest = connection.get();
  }
  uint64_t suppressed = 0;
  if (room_log_.Allow(clock_.Now(), &suppressed))
    Log(LogLevel::kWarn, "too_many_connections",
        {{"max", settings_.max_connections},
         {"suppressed", suppressed},
         {"advice", "raise policy.max_connections"}});
  if (!longest) return false;
  Close(*longest);
  return true;
}

void SocketmapServer::OnReady(uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  try {
    Do(connection.unsent.empty() ? Receive(connection) : Flush(connection),
       connection);
  } catch (const std::exception& error) {
    Log(LogLevel::kError, "connection_failed", {{"what", error.what()}});
    Close(connection);
  }
}

SocketmapServer::Next SocketmapServer::Receive(Connection& c) {
  const ssize_t bytes = recv(c.fd.get(), c.buffer.data() + c.filled,
                             c.buffer.size() - c.filled, MSG_DONTWAIT);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return Next::kRead;
  if (bytes <= 0) return Next::kClose;
  c.filled += static_cast<size_t>(bytes);
  return AnswerKnown(c);
}

SocketmapServer::Next SocketmapServer::Flush(Connection& c) {
  const std::string reply = std::move(c.unsent);
  c.unsent.clear();
  const SteadyTime patience = c.patience;
  const Next next = Send(c, reply);
  if (next == Next::kFlush) c.patience = patience;
  if (next != Next::kRead) return next;
  sockets_.Change(c.fd.get(), EPOLLIN, c.id);
  c.ConsumeRequest();
  return AnswerKnown(c);
}

void SocketmapServer::Do(Next next, Connection& c) {
  if (next == Next::kRead && stopping_) next = Next::kClose;
  switch (next) {
    case Next::kRead:
      if (c.filled == 0) {
        // A client that pipelines gets no more at once for it from now on.
        if (c.buffer.size() > kFirstBuffer)
          c.buffer = std::vector<char>(kFirstBuffer);
        c.patience = clock_.Now() + kMaxIdle;
      } else if (!std::exchange(c.half_read, true)) {
        // From its first bytes on: a byte now and then buys no time.
        c.patience = clock_.Now() + kMaxStall;
      }
      if (c.filled == c.buffer.size()) c.buffer.resize(kMaxRequestBytes);
      return;
    case Next::kFlush:
      sockets_.Change(c.fd.get(), EPOLLOUT, c.id);
      return;
    case Next::kLookup:
      // Not even a hang-up is of interest until there is an answer.
      sockets_.Remove(c.fd.get());
      c.looking_up = true;
      Spawn(loop_.get_executor(), LookUp(connections_[c.id]));
      return;
    case Next::kClose:
      Close(c);
  }
}

// Closes a connection whose lookup failed of an exception.
struct SocketmapServer::LookupGuard {
  ~LookupGuard() {
    if (connection.looking_up) server.Close(connection);
  }
  SocketmapServer& server;
  const Connection& connection;
};

Awaitable<void> SocketmapServer::LookUp(
    std::shared_ptr<Connection> connection) {
  Connection& c = *connection;
  const LookupGuard guard{*this, c};
  Next next = Next::kLookup;
  while (next == Next::kLookup) {
    // To start a lookup costs as much as dozens of known answers.
    co_await lookup_turns_.Next();
    PolicyService::Reply reply = co_await service_.Answer(c.key, c.dialect);
    Tell(c, c.key, std::move(reply.policy));
    next = Send(c, reply.text);
    if (next != Next::kRead) break;
    c.ConsumeRequest();
    next = AnswerKnown(c);
  }
  if (next != Next::kClose && !sockets_.Add(c.fd.get(), EPOLLIN, c.id))
    next = Next::kClose;
  c.looking_up = false;
  Do(next, c);
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
    } else if (auto known = service_.AnswerNow(request.key, *dialect);
               !known.text.empty()) {
      Tell(c, request.key, std::move(known.policy));
      next = Send(c, known.text);
    } else {
      c.key = request.key;
      c.dialect = *dialect;
      return Next::kLookup;
    }
    if (next != Next::kRead) return next;
    c.ConsumeRequest();
  }
}

void SocketmapServer::Tell(const Connection& c, std::string_view key,
                           AnsweredPolicyPtr policy) {
  if (c.pid != 0 && policy) on_answer_(c.pid, key, std::move(policy));
}

SocketmapServer::Next SocketmapServer::Send(Connection& c,
                                            std::string_view reply) {
  // Nearly always all of it fits: no wait, and no copy of the view.
  const ssize_t sent =
      send(c.fd.get(), reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return Next::kClose;
  const size_t written = sent < 0 ? 0 : static_cast<size_t>(sent);
  if (written == reply.size()) return Next::kRead;
  c.unsent = reply.substr(written);
  c.patience = clock_.Now() + kMaxStall;
  return Next::kFlush;
}

// Ends the waits that are over; a timer for each request would cost more than
// the answer.
Awaitable<void> SocketmapServer::Sweep() {
  while (!stopping_) {
    Event pause(loop_.get_executor(), clock_);
    co_await pause.WaitUntil(clock_.Now() + kSweepInterval);
    const SteadyTime now = clock_.Now();
    CloseIf([now](const Connection& one) {
      return !one.looking_up && one.patience < now;
    });
  }
}

}  // namespace postern
