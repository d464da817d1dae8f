// The socketmap server: accepts connections, reads requests, writes replies.
//
// One request of a connection at a time, in order, as Postfix asks. A cached
// answer is one read and one write; only a lookup is a coroutine. Bad framing
// closes the connection; the others go on.
//
// Contract: loop thread only. Limits: `max_connections` (the longest idle one
// makes room), kMaxRequestBytes a request, the waits below.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "common/file_descriptor.h"
#include "common/listener.h"
#include "common/metrics.h"
#include "common/ready_set.h"
#include "common/turns.h"

#include "policy-daemon/policy_service.h"

namespace postern {

class SocketmapServer {
 public:
  struct Settings {
    size_t max_connections = 16384;
  };
  // Everything given by reference outlives the server's coroutines.
  SocketmapServer(boost::asio::io_context& loop, Clock& clock,
                  PolicyService& service, Settings settings, Metrics& metrics);

  // Tells of each answer before it goes out: who asked (by SO_PEERCRED; not
  // over TCP), the key as it came, and what the answer stands for.
  using OnAnswer = std::function<void(uint32_t pid, std::string_view key,
                                      AnsweredPolicyPtr policy)>;
  void TellOfAnswers(OnAnswer on_answer) { on_answer_ = std::move(on_answer); }

  // Takes up a new configuration.
  void Use(Settings settings) { settings_ = settings; }

  // Serves a listening socket until Stop().
  void Listen(const Listener& listener);

  // No new connections; idle ones close now, busy ones after their answer.
  void Stop();
  // Connections that still owe an answer.
  size_t busy() const;

 private:
  struct Connection;
  struct LookupGuard;

  Awaitable<void> Accept(std::shared_ptr<Listener::Acceptor> acceptor);
  void Take(FileDescriptor socket);
  void Close(const Connection& connection);
  void CloseIf(const std::function<bool(const Connection&)>& is_over);
  void OnReady(uint64_t id);
  // What a connection needs next.
  enum class Next { kRead, kLookup, kFlush, kClose };
  Next Receive(Connection& connection);
  Next Flush(Connection& connection);
  // Answers what needs no wait.
  Next AnswerKnown(Connection& connection);
  Next Send(Connection& connection, std::string_view reply);
  void Tell(const Connection& connection, std::string_view key,
            AnsweredPolicyPtr policy);
  void Do(Next next, Connection& connection);
  Awaitable<void> LookUp(std::shared_ptr<Connection> connection);
  Awaitable<void> Sweep();
  // False: nobody is idle.
  bool MakeRoom();

  boost::asio::io_context& loop_;
  Clock& clock_;
  PolicyService& service_;
  Metrics& metrics_;
  Turns lookup_turns_;
  Settings settings_;
  OnAnswer on_answer_;
  bool stopping_ = false;
  std::vector<std::shared_ptr<Listener::Acceptor>> acceptors_;
  ReadySet sockets_;
  uint64_t next_id_ = 1;
  // Shared with their lookups.
  boost::unordered_flat_map<uint64_t, std::shared_ptr<Connection>> connections_;
  LogLimiter accept_log_;
  LogLimiter room_log_;
  prometheus::Gauge& open_;
  prometheus::Counter& accepted_;
  prometheus::Counter& malformed_;
  prometheus::Counter& unknown_map_;
};

}  // namespace postern
