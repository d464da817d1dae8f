// HTTPS with real servers: what they are offered (the ClientHello), and what
// is taken from them.
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

#include "common/https_proxy.h"

#include "tests/support/temporary_folder.h"
#include "tests/support/tls_server.h"

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

constexpr char kHost[] = "mta-sts.example.com";

// A client that trusts the server's certificate.
class BeastHttpsTest : public testing::Test {
 protected:
  BeastHttpsTest() {
    auto trust = BeastHttps::LoadTrust(
        folder_.Write("ca.pem", server.certificate()), "sts.ca_file");
    EXPECT_TRUE(trust) << trust.error().message;
    https_ = std::make_unique<BeastHttps>(loop, *trust);
  }

  static HttpsRequest Get(uint16_t port, const std::string& host = kHost) {
    HttpsRequest request;
    request.host = host;
    request.address = IpAddress::Parse("127.0.0.1").value();
    request.port = port;
    request.path = "/.well-known/mta-sts.txt";
    request.max_body = 65536;
    request.deadline = std::chrono::steady_clock::now() + Seconds(60);
    request.connect_deadline = request.deadline;
    return request;
  }
  HttpsRequest Get() { return Get(server.port()); }
  HttpsRequest Post(std::string content = "a report") {
    HttpsRequest request = Get();
    request.content = HttpsContent{"application/tlsrpt+gzip", content};
    return request;
  }
  HttpsResponse Ask(const HttpsRequest& request) {
    HttpsResponse response;
    Spawn(loop.get_executor(), Keep(request, response));
    loop.restart();
    loop.run();
    return response;
  }

  asio::io_context loop;
  TlsServer server{kHost};

 private:
  Awaitable<void> Keep(HttpsRequest request, HttpsResponse& response) {
    response = co_await https_->Ask(std::move(request));
  }

  const TemporaryFolder folder_;
  std::unique_ptr<BeastHttps> https_;
};

TEST_F(BeastHttpsTest, APolicyFileIsTakenFromAnyServerThatABrowserTakes) {
  const std::string body = "version: STSv1\n";
  const std::string length =
      "Content-Length: " + std::to_string(body.size()) + "\r\n";
  const std::string type = "Content-Type: text/plain\r\n";
  for (const std::string& answer :
       {"HTTP/1.1 200 OK\r\n" + type + length + "\r\n" + body,
        "HTTP/1.1 200\r\n" + type + length + "\r\n" + body,
        "HTTP/1.0 200 OK\r\n" + type + "\r\n" + body,
        "HTTP/1.1 200 OK\n" + type + "Odd\nServ er: x\n" + length + "\n" + body,
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200\r\n" + type + length +
            "\r\n" + body,
        "HTTP/1.1 200 OK\r\n" + type + length +
            "Transfer-Encoding: chunked\r\n\r\nf\r\n" + body + "\r\n0\r\n\r\n"})
    for (const size_t piece : {size_t{1}, size_t{1000}}) {
      server.Answer(answer, /*goodbye=*/true, piece);
      const HttpsResponse response = Ask(Get());
      EXPECT_EQ(response.failure, HttpsFailure::kNone)
          << answer << response.detail;
      EXPECT_EQ(response.status, 200) << answer;
      EXPECT_EQ(response.content_type, "text/plain") << answer;
      EXPECT_EQ(response.body, body) << answer;
    }
  EXPECT_EQ(server.requests().at(0),
            "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: " +
                std::string(kHost) + ":" + std::to_string(server.port()) +
                "\r\nUser-Agent: postern (MTA-STS, TLSRPT)\r\n"
                "Accept: text/plain\r\nAccept-Encoding: identity\r\n"
                "Connection: close\r\n\r\n");
}

// Whoever can cut a connection could shorten a policy.
TEST_F(BeastHttpsTest, ABodyThatEndsWithTheConnectionNeedsTlssGoodbye) {
  const std::string answer = "HTTP/1.1 200 OK\r\n\r\nmax_age: 86400";
  server.Answer(answer, /*goodbye=*/false);
  EXPECT_EQ(Ask(Get()).failure, HttpsFailure::kProtocol);
  server.Answer(answer, /*goodbye=*/true);
  EXPECT_EQ(Ask(Get()).failure, HttpsFailure::kNone);
}

TEST_F(BeastHttpsTest, WhatIsBehindTheStatusOfAPostDoesNotMatter) {
  for (const char* answer :
       {"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n"
        "Content-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nok",
        "HTTP/1.1 202 Accepted\r\nContent-Length: what\r\n\r\nok",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: br\r\n\r\nok",
        "HTTP/1.1 202 Accepted\r\n", "HTTP/1.1 202"})
    for (const bool goodbye : {true, false}) {
      server.Answer(answer, goodbye);
      EXPECT_EQ(Ask(Post()).status, 202) << answer;
    }
  EXPECT_TRUE(server.requests()[0].ends_with(
      "\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Length: 8\r\n"
      "Accept-Encoding: identity\r\nConnection: close\r\n\r\na report"))
      << server.requests()[0];
}

TEST_F(BeastHttpsTest, AnAnswerBeforeTheWholeReportIsReadCounts) {
  server.HangUpOnContent();
  server.Answer("HTTP/1.1 413\r\n\r\n");
  EXPECT_EQ(Ask(Post(std::string(1000, 'x'))).status, 413);
}

TEST_F(BeastHttpsTest, AnAnswerOverTheBoundKeepsItsStatus) {
  server.Answer("HTTP/1.1 201 Created\r\n\r\n" + std::string(70000, 'x'));
  const HttpsResponse response = Ask(Post());
  EXPECT_EQ(response.failure, HttpsFailure::kTooLarge);
  EXPECT_EQ(response.status, 201);
}

TEST_F(BeastHttpsTest, WhatIsNotHttpHasNoStatus) {
  for (const char* answer : {"", "220 mail ESMTP\r\n", "<html></html>"}) {
    server.Answer(answer);
    const HttpsResponse response = Ask(Post());
    EXPECT_EQ(response.failure, HttpsFailure::kProtocol) << answer;
    EXPECT_EQ(response.status, 0) << answer;
  }
}

TEST_F(BeastHttpsTest, AnotherNamesCertificateIsToldApart) {
  const HttpsResponse response = Ask(Get(server.port(), "mta-sts.example.org"));
  EXPECT_EQ(response.failure, HttpsFailure::kCertificate);
  EXPECT_EQ(response.certificate, CertificateFault::kOtherName);
}

TEST_F(BeastHttpsTest, WhoRefusesIsToldApart) {
  HttpsRequest request = Get();
  {
    const TlsServer gone(kHost);
    request.port = gone.port();
  }
  EXPECT_EQ(Ask(request).failure, HttpsFailure::kRefused);
}

TEST_F(BeastHttpsTest, AnAddressThatNoRouteLeadsToIsOurTrouble) {
  HttpsRequest request = Get();
  // Reserved, and refused by the kernel itself.
  request.address = IpAddress::Parse("255.255.255.255").value();
  const HttpsResponse response = Ask(request);
  EXPECT_EQ(response.failure, HttpsFailure::kLocal) << response.detail;
}

// A host that drips has always a byte for us: to cancel what is pending would
// not end it.
TEST_F(BeastHttpsTest, ACancelledRequestEndsHoweverMuchComes) {
  server.Answer("HTTP/1.1 200 OK\r\n\r\n" + std::string(4 << 20, 'x'));
  HttpsRequest request = Get();
  request.max_body = 64 << 20;
  request.cancel = std::make_shared<HttpsCancel>();
  std::function<void(int)> cancel_after = [&](int rounds) {
    if (rounds == 0) return request.cancel->Cancel();
    asio::post(loop, [&, rounds] { cancel_after(rounds - 1); });
  };
  while (!request.cancel->cancelled) {
    cancel_after(20);
    const HttpsResponse response = Ask(request);
    EXPECT_NE(response.failure, HttpsFailure::kNone);
    EXPECT_LT(response.body.size(), size_t{4 << 20});
  }
}

// --- A proxy.

class ProxyTest : public BeastHttpsTest {
 protected:
  ProxyTest() {
    server.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  }
  HttpsRequest GetThroughProxy(const std::string& host = kHost) {
    HttpsRequest request = Get(443, host);
    // Nobody is there: the proxy knows the way.
    request.address = IpAddress::Parse("255.255.255.255").value();
    request.proxy =
        HttpsProxy{{IpAddress::Parse("127.0.0.1").value()}, proxy.port()};
    return request;
  }
  ConnectProxy proxy{server.port()};
};

TEST_F(ProxyTest, IsAskedToConnectByName) {
  const HttpsResponse response = Ask(GetThroughProxy());
  EXPECT_EQ(response.failure, HttpsFailure::kNone) << response.detail;
  EXPECT_EQ(response.body, "hi");
  EXPECT_EQ(proxy.requests(), std::vector<std::string>{
                                  "CONNECT mta-sts.example.com:443 HTTP/1.1\r\n"
                                  "Host: mta-sts.example.com:443\r\n\r\n"});
}

TEST_F(ProxyTest, TheCertificateIsLookedAtAllTheSame) {
  EXPECT_EQ(Ask(GetThroughProxy("mta-sts.example.org")).failure,
            HttpsFailure::kCertificate);
}

TEST_F(ProxyTest, WhatItRefusesIsOurTrouble) {
  for (const char* head :
       {"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 407\r\n\r\n",
        "HTTP/1.1 500 x\r\n\r\n", "what\r\n\r\n", ""}) {
    proxy.Answer(head);
    const HttpsResponse response = Ask(GetThroughProxy());
    EXPECT_EQ(response.failure, HttpsFailure::kLocal) << head;
    EXPECT_EQ(response.status, 0) << "it is not the host's";
  }
}

// RFC 9110 section 15.6: as far as it knows, it is the host.
TEST_F(ProxyTest, AHostThatItDoesNotReachIsOutOfReach) {
  for (const char* status : {"502", "503", "504"}) {
    proxy.Answer("HTTP/1.1 " + std::string(status) + " x\r\n\r\n");
    EXPECT_EQ(Ask(GetThroughProxy()).failure, HttpsFailure::kConnect);
  }
}

TEST_F(ProxyTest, IsOurTroubleWhereItIsDead) {
  HttpsRequest request = GetThroughProxy();
  {
    const ConnectProxy gone(server.port());
    request.proxy->port = gone.port();
  }
  EXPECT_EQ(Ask(request).failure, HttpsFailure::kLocal);
  request.proxy->addresses.clear();
  EXPECT_EQ(Ask(request).failure, HttpsFailure::kLocal) << "not found";
}

}  // namespace
}  // namespace postern
