#include "tests/support/tls_server.h"

#include <csignal>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace postern {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// Adds a key and a certificate for `host` to `context`; the certificate.
std::string Certify(SSL_CTX* context, const std::string& host) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(),
                                                                X509_free);
  X509* x509 = certificate.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, key.get());
  X509_NAME* name = X509_get_subject_name(x509);
  const std::string common = "of a test";
  X509_NAME_add_entry_by_txt(
      name, "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  X509_EXTENSION* alternative = X509V3_EXT_conf_nid(
      nullptr, nullptr, NID_subject_alt_name, ("DNS:" + host).c_str());
  X509_add_ext(x509, alternative, -1);
  X509_EXTENSION_free(alternative);
  X509_sign(x509, key.get(), EVP_sha256());
  SSL_CTX_use_certificate(context, x509);
  SSL_CTX_use_PrivateKey(context, key.get());
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()),
                                                      BIO_free);
  PEM_write_bio_X509(out.get(), x509);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

size_t ContentLength(const std::string& head) {
  const std::string name = "\r\nContent-Length: ";
  const size_t at = head.find(name);
  return at == head.npos ? 0 : std::stoul(head.substr(at + name.size()));
}

}  // namespace

LoopbackServer::LoopbackServer(std::function<void(int)> serve)
    : listening_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  signal(SIGPIPE, SIG_IGN);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listening_, generic, size), 0);
  EXPECT_EQ(listen(listening_, 10), 0);
  EXPECT_EQ(getsockname(listening_, generic, &size), 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this, serve = std::move(serve)] {
    for (;;) {
      const int connection = accept(listening_, nullptr, nullptr);
      if (ending_ || connection < 0) {
        if (connection >= 0) close(connection);
        return;
      }
      serve(connection);
    }
  });
}

LoopbackServer::~LoopbackServer() {
  ending_ = true;
  const int wakes = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port_);
  connect(wakes, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  thread_.join();
  close(wakes);
  close(listening_);
}

TlsServer::TlsServer(const std::string& host)
    : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free),
      certificate_(Certify(context_.get(), host)),
      server_(new LoopbackServer([this](int fd) { Serve(fd); })) {}

void TlsServer::Answer(std::string bytes, bool goodbye, size_t piece) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(bytes);
  goodbye_ = goodbye;
  piece_ = piece;
}

void TlsServer::HangUpOnContent() {
  const std::lock_guard lock(mutex_);
  reads_content_ = false;
}

std::vector<std::string> TlsServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void TlsServer::Serve(int connection) {
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_.get()),
                                                      SSL_free);
  SSL_set_fd(ssl.get(), connection);
  if (SSL_accept(ssl.get()) == 1) {
    std::string request;
    char bytes[4096];
    const auto complete = [&] {
      const size_t head = request.find("\r\n\r\n");
      if (head == request.npos) return false;
      const std::lock_guard lock(mutex_);
      return !reads_content_ ||
             request.size() >= head + 4 + ContentLength(request);
    };
    while (!complete()) {
      const int size = SSL_read(ssl.get(), bytes, sizeof bytes);
      if (size <= 0) break;
      request.append(bytes, static_cast<size_t>(size));
    }
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    for (size_t at = 0; at < answer_.size(); at += piece_) {
      const std::string piece = answer_.substr(at, piece_);
      SSL_write(ssl.get(), piece.data(), static_cast<int>(piece.size()));
    }
    if (goodbye_) SSL_shutdown(ssl.get());
  }
  close(connection);
}

ConnectProxy::ConnectProxy(uint16_t target)
    : target_(target),
      server_(new LoopbackServer([this](int fd) { Serve(fd); })) {}

void ConnectProxy::Answer(std::string head) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(head);
}

std::vector<std::string> ConnectProxy::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ConnectProxy::Serve(int connection) {
  std::string request;
  char byte = 0;
  while (!request.ends_with("\r\n\r\n") && read(connection, &byte, 1) == 1)
    request += byte;
  std::string answer;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    answer = answer_;
  }
  const bool through = answer.find(" 200") != answer.npos;
  const int target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(target_);
  if (through) {
    EXPECT_EQ(connect(target, reinterpret_cast<const sockaddr*>(&address),
                      sizeof address),
              0);
  }
  EXPECT_EQ(write(connection, answer.data(), answer.size()),
            static_cast<ssize_t>(answer.size()));
  while (through) {
    pollfd ends[] = {{connection, POLLIN, 0}, {target, POLLIN, 0}};
    if (poll(ends, 2, -1) < 0) break;
    char bytes[4096];
    const bool forth = ends[0].revents != 0;
    const ssize_t size = read(forth ? connection : target, bytes, sizeof bytes);
    if (size <= 0) break;
    if (write(forth ? target : connection, bytes, static_cast<size_t>(size)) <
        0)
      break;
  }
  close(target);
  close(connection);
}

}  // namespace postern
