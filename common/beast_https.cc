#include "common/beast_https.h"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/text.h"

namespace postern {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

// More than any policy host sends, less than hurts a thousand times over.
constexpr uint32_t kMaxHeaderBytes = 16 * 1024;
constexpr int kMaxInterim = 8;  // answers before the answer
// Debian's and many others'; OpenSSL's own default is a folder, of which it
// would read files during handshakes.
constexpr char kSystemBundle[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr char kUserAgent[] = "postern (MTA-STS, TLSRPT)";

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

using Stream = beast::ssl_stream<beast::tcp_stream>;

HttpsResponse Failed(HttpsFailure failure, std::string detail) {
  HttpsResponse response;
  response.failure = failure;
  response.detail = std::move(detail);
  return response;
}

HttpsResponse FailedBy(HttpsFailure failure, const char* step,
                       const error_code& error) {
  if (error == beast::error::timeout)
    return Failed(HttpsFailure::kTimeout, std::string(step) + " timed out");
  return Failed(failure, std::string(step) + ": " + error.message());
}

asio::ip::tcp::endpoint EndpointOf(const HttpsRequest& request) {
  const IpAddress& ip = request.address;
  if (ip.v6) return {asio::ip::address_v6(ip.bytes), request.port};
  asio::ip::address_v4::bytes_type v4;
  std::copy_n(ip.bytes.begin(), v4.size(), v4.begin());
  return {asio::ip::address_v4(v4), request.port};
}

// SNI and the name to be found in the certificate.
bool ExpectHost(SSL* ssl, const std::string& host) {
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return SSL_set_tlsext_host_name(ssl, host.c_str()) == 1 &&
         SSL_set1_host(ssl, host.c_str()) == 1;
}

HttpsResponse HandshakeFailed(SSL* ssl, const error_code& error) {
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict != X509_V_OK)
    return Failed(
        HttpsFailure::kCertificate,
        std::string("certificate: ") + X509_verify_cert_error_string(verdict));
  return FailedBy(HttpsFailure::kTls, "TLS handshake", error);
}

// Lets a request be cancelled as long as this lives.
class Cancellable {
 public:
  Cancellable(std::shared_ptr<HttpsCancel> cancel, beast::tcp_stream& tcp)
      : cancel_(std::move(cancel)) {
    if (cancel_) cancel_->call = [&tcp] { tcp.cancel(); };
  }
  ~Cancellable() {
    if (cancel_) cancel_->call = nullptr;
  }
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;

 private:
  std::shared_ptr<HttpsCancel> cancel_;
};

}  // namespace

struct BeastHttps::Trust {
  asio::ssl::context tls{asio::ssl::context::tls_client};
};

Result<std::shared_ptr<BeastHttps::Trust>> BeastHttps::LoadTrust(
    const std::string& ca_file, const std::string& key) {
  auto trust = std::make_shared<Trust>();
  SSL_CTX* context = trust->tls.native_handle();
  // RFC 8461 section 7.2.
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  // Key exchanges that cost a millisecond: of finite field Diffie-Hellman the
  // server chooses the size, and a large one takes a second of the loop.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES");
  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
  // Each fetch is one connection: nothing is ever resumed.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // Idle buffers of slow hosts are given back.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  std::string file = ca_file;
  if (file.empty() && access(kSystemBundle, R_OK) == 0) file = kSystemBundle;
  const bool loaded =
      file.empty() ? SSL_CTX_set_default_verify_paths(context) == 1
                   : SSL_CTX_load_verify_file(context, file.c_str()) == 1;
  ERR_clear_error();
  if (!loaded)
    return Error{"cannot read certificates from '" + file + "'; check " + key +
                 " (PEM, readable)"};
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  if (sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) == 0)
    Log(LogLevel::kWarn, "no_certificate_authorities",
        {{"advice",
          "no server's certificate can be trusted: install ca-certificates or "
          "set " +
              key}});
  return trust;
}

BeastHttps::BeastHttps(asio::io_context& loop, std::shared_ptr<Trust> trust)
    : loop_(loop), trust_(std::move(trust)) {}

Awaitable<HttpsResponse> BeastHttps::Ask(HttpsRequest request) {
  const std::shared_ptr<Trust> trust = trust_;
  Stream stream(loop_, trust->tls);
  SSL* ssl = stream.native_handle();
  if (!ExpectHost(ssl, request.host))
    co_return Failed(HttpsFailure::kTls, "cannot set the host name");

  auto& tcp = beast::get_lowest_layer(stream);
  const Cancellable cancellable(request.cancel, tcp);
  tcp.expires_at(request.connect_deadline);
  if (auto [error] = co_await tcp.async_connect(EndpointOf(request), kAwait);
      error)
    co_return FailedBy(HttpsFailure::kConnect, "connect", error);

  // Still within the connect deadline: who accepts and then says nothing must
  // leave time for the next address.
  if (auto [error] = co_await stream.async_handshake(
          asio::ssl::stream_base::client, kAwait);
      error)
    co_return HandshakeFailed(ssl, error);
  tcp.expires_at(request.deadline);

  http::request<http::string_body> message(
      request.content ? http::verb::post : http::verb::get, request.path, 11);
  message.set(http::field::host,
              request.port == 443
                  ? request.host
                  : request.host + ":" + std::to_string(request.port));
  message.set(http::field::user_agent, kUserAgent);
  if (request.content) {
    message.set(http::field::content_type, request.content->type);
    message.body() = std::move(request.content->bytes);
    message.prepare_payload();
  } else {
    message.set(http::field::accept, "text/plain");
  }
  // A compressed answer could escape the body's bound.
  message.set(http::field::accept_encoding, "identity");
  message.set(http::field::connection, "close");
  if (auto [error, bytes] = co_await http::async_write(stream, message, kAwait);
      error)
    co_return FailedBy(HttpsFailure::kProtocol, "sending", error);

  // Chunk extensions and trailers count in no other bound.
  beast::flat_buffer buffer(2 * kMaxHeaderBytes);
  std::optional<http::response_parser<http::string_body>> parser;
  for (int interim = 0; interim < kMaxInterim; ++interim) {
    parser.emplace();
    parser->header_limit(kMaxHeaderBytes);
    parser->body_limit(request.max_body);
    if (auto [error, bytes] =
            co_await http::async_read(stream, buffer, *parser, kAwait);
        error) {
      HttpsResponse failed =
          error == http::error::body_limit
              ? Failed(HttpsFailure::kTooLarge,
                       "the answer is larger than " +
                           std::to_string(request.max_body) + " bytes")
              : FailedBy(HttpsFailure::kProtocol, "reading", error);
      if (parser->is_header_done()) failed.status = parser->get().result_int();
      co_return failed;
    }
    // RFC 9110 section 15.2: 1xx is not the answer, which follows.
    if (parser->get().result_int() / 100 != 1) break;
  }
  http::response<http::string_body> answer = parser->release();
  HttpsResponse response;
  response.status = answer.result_int();
  response.content_type = std::string(answer[http::field::content_type]);
  response.content_encoding =
      std::string(answer[http::field::content_encoding]);
  response.retry_after = std::string(answer[http::field::retry_after]);
  response.body = std::move(answer.body());
  // No close_notify: the peer has said all, and may be slow to say goodbye.
  co_return response;
}

}  // namespace postern
