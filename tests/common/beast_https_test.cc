// What policy hosts are offered, as they see it: the ClientHello.
#include "common/beast_https.h"

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace postern {
namespace {

namespace asio = boost::asio;

// RFC 8446 section 4.2.7.
constexpr int kP256 = 23;
constexpr int kP384 = 24;
constexpr int kX25519 = 29;

class ClientHelloTest : public testing::Test {
 protected:
  ClientHelloTest() {
    SSL_CTX_set_client_hello_cb(server_.get(), Note, this);
    auto trust = BeastHttps::LoadTrust("", "sts.ca_file");
    EXPECT_TRUE(trust) << trust.error().message;
    BeastHttps https(loop_, *trust);
    HttpsRequest request;
    request.host = "mta-sts.example.com";
    request.address = IpAddress::Parse("127.0.0.1").value();
    request.port = acceptor_.local_endpoint().port();
    request.path = "/";
    request.deadline = std::chrono::steady_clock::now() + Seconds(60);
    request.connect_deadline = request.deadline;
    Spawn(loop_.get_executor(), Read());
    Spawn(loop_.get_executor(), Ask(https, request));
    loop_.run();
  }

  std::vector<std::string> ciphers;
  std::vector<int> key_exchanges;  // NIDs; of TLS 1.2 and before
  std::vector<int> groups;
  HttpsResponse response;

 private:
  using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
  using Connection = std::unique_ptr<SSL, decltype(&SSL_free)>;

  Awaitable<void> Ask(BeastHttps& https, HttpsRequest request) {
    response = co_await https.Ask(std::move(request));
  }
  // Reads the first record, lets OpenSSL take it apart, and hangs up.
  Awaitable<void> Read() {
    auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
    std::string record(5, '\0');
    co_await asio::async_read(socket, asio::buffer(record),
                              asio::use_awaitable);
    const size_t size =
        static_cast<uint8_t>(record[3]) * 256 + static_cast<uint8_t>(record[4]);
    record.resize(record.size() + size);
    co_await asio::async_read(socket, asio::buffer(record.data() + 5, size),
                              asio::use_awaitable);
    const Connection connection(SSL_new(server_.get()), SSL_free);
    BIO* const in = BIO_new(BIO_s_mem());
    BIO_write(in, record.data(), static_cast<int>(record.size()));
    SSL_set_bio(connection.get(), in, BIO_new(BIO_s_mem()));
    SSL_accept(connection.get());
  }
  static int Note(SSL* ssl, int*, void* test) {
    auto& self = *static_cast<ClientHelloTest*>(test);
    const unsigned char* at = nullptr;
    const size_t size = SSL_client_hello_get0_ciphers(ssl, &at);
    for (size_t i = 0; i + 1 < size; i += 2) {
      const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, at + i);
      if (!cipher) continue;  // a signal, such as that of RFC 5746
      const int exchange = SSL_CIPHER_get_kx_nid(cipher);
      self.ciphers.push_back(SSL_CIPHER_get_name(cipher));
      if (exchange != NID_kx_any) self.key_exchanges.push_back(exchange);
    }
    size_t length = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_groups, &at,
                                  &length) == 1)
      for (size_t i = 2; i + 1 < length; i += 2)
        self.groups.push_back(at[i] * 256 + at[i + 1]);
    return SSL_CLIENT_HELLO_ERROR;
  }

  asio::io_context loop_;
  asio::ip::tcp::acceptor acceptor_{
      loop_, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  Context server_{SSL_CTX_new(TLS_server_method()), SSL_CTX_free};
};

// Of finite field Diffie-Hellman the server chooses the size, and a large one
// takes a second of the loop.
TEST_F(ClientHelloTest, KeysAreExchangedByEllipticCurvesAlone) {
  ASSERT_FALSE(key_exchanges.empty()) << "nothing for TLS 1.2";
  for (const int exchange : key_exchanges)
    EXPECT_EQ(exchange, NID_kx_ecdhe) << testing::PrintToString(ciphers);
}

TEST_F(ClientHelloTest, AlsoInTls13) {
  EXPECT_EQ(groups, (std::vector<int>{kX25519, kP256, kP384}));
}

TEST_F(ClientHelloTest, WhoHasNothingInCommonIsATlsFailure) {
  EXPECT_EQ(response.failure, HttpsFailure::kTls) << response.detail;
}

}  // namespace
}  // namespace postern
