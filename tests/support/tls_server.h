// A real server of TLS for one name, in a thread, that says what a test wants
// byte for byte; and a real proxy before it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <openssl/ssl.h>

namespace postern {

// Listens on 127.0.0.1 and serves one connection after the other, until it is
// destroyed.
class LoopbackServer {
 public:
  // `serve` owns the connection, in the server's thread.
  explicit LoopbackServer(std::function<void(int connection)> serve);
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;
  ~LoopbackServer();

  uint16_t port() const { return port_; }

 private:
  int listening_;
  uint16_t port_ = 0;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

class TlsServer {
 public:
  // The certificate is for `host`, and its own authority.
  explicit TlsServer(const std::string& host);

  uint16_t port() const { return server_->port(); }
  const std::string& certificate() const { return certificate_; }  // PEM

  // What it sends once a request is there, in pieces of `piece` bytes; and
  // whether it says goodbye then, as TLS demands.
  void Answer(std::string bytes, bool goodbye = true, size_t piece = 100000);
  // Answers before it has read the request's content, and reads no more.
  void HangUpOnContent();

  std::vector<std::string> requests() const;

 private:
  void Serve(int connection);

  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::string certificate_;
  mutable std::mutex mutex_;
  std::string answer_;
  bool goodbye_ = true;
  bool reads_content_ = true;
  size_t piece_ = 0;
  std::vector<std::string> requests_;
  std::unique_ptr<LoopbackServer> server_;
};

// Understands CONNECT, and leads every name to `target` on this machine.
class ConnectProxy {
 public:
  explicit ConnectProxy(uint16_t target);

  uint16_t port() const { return server_->port(); }
  // What it answers; it connects only where that is a 200.
  void Answer(std::string head);
  std::vector<std::string> requests() const;

 private:
  void Serve(int connection);

  uint16_t target_;
  mutable std::mutex mutex_;
  std::string answer_ = "HTTP/1.1 200 Connection established\r\n\r\n";
  std::vector<std::string> requests_;
  std::unique_ptr<LoopbackServer> server_;
};

}  // namespace postern
