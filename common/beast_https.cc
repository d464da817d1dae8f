#include "common/beast_https.h"

#include <array>
#include <cerrno>

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/http_answer.h"
#include "common/text.h"

namespace postern {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

// Debian's and many others'; OpenSSL's own default is a folder, of which it
// would read files during handshakes.
constexpr char kSystemBundle[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr char kUserAgent[] = "postern (MTA-STS, TLSRPT)";

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

using Stream = asio::ssl::stream<beast::tcp_stream>;

HttpsResponse Failed(HttpsFailure failure, std::string detail) {
  HttpsResponse response;
  response.failure = failure;
  response.detail = std::move(detail);
  return response;
}

HttpsResponse FailedBy(HttpsFailure failure, const std::string& step,
                       const error_code& error) {
  if (error == beast::error::timeout)
    return Failed(failure, step + " timed out");
  return Failed(failure, step + ": " + error.message());
}

// Trouble that is on our side of the network.
bool IsOurs(const error_code& error) {
  if (error.category() != boost::system::system_category()) return false;
  switch (error.value()) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EPERM:
    case EACCES:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return true;
    default:
      return false;
  }
}

HttpsResponse NotConnected(const error_code& error) {
  if (IsOurs(error)) return FailedBy(HttpsFailure::kLocal, "connect", error);
  if (error == asio::error::connection_refused)
    return FailedBy(HttpsFailure::kRefused, "connect", error);
  return FailedBy(HttpsFailure::kConnect, "connect", error);
}

asio::ip::tcp::endpoint EndpointOf(const IpAddress& ip, uint16_t port) {
  if (ip.v6) return {asio::ip::address_v6(ip.bytes), port};
  asio::ip::address_v4::bytes_type v4;
  std::copy_n(ip.bytes.begin(), v4.size(), v4.begin());
  return {asio::ip::address_v4(v4), port};
}

// SNI and the name to be found in the certificate.
bool ExpectHost(SSL* ssl, const std::string& host) {
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return SSL_set_tlsext_host_name(ssl, host.c_str()) == 1 &&
         SSL_set1_host(ssl, host.c_str()) == 1;
}

CertificateFault FaultOf(long verdict) {
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return CertificateFault::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return CertificateFault::kNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
      return CertificateFault::kOtherName;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return CertificateFault::kSelfSigned;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return CertificateFault::kUntrusted;
    default:
      return CertificateFault::kOther;
  }
}

HttpsResponse HandshakeFailed(SSL* ssl, const error_code& error,
                              bool trusts_nobody) {
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict == X509_V_OK)
    return FailedBy(HttpsFailure::kTls, "TLS handshake", error);
  HttpsResponse failed = Failed(
      trusts_nobody ? HttpsFailure::kLocal : HttpsFailure::kCertificate,
      std::string("certificate: ") + X509_verify_cert_error_string(verdict));
  failed.certificate = FaultOf(verdict);
  return failed;
}

std::string HostAndPort(const HttpsRequest& request) {
  return request.host + ":" + std::to_string(request.port);
}

std::string TextOf(const HttpsRequest& request) {
  std::string text =
      (request.content ? "POST " : "GET ") + request.path +
      " HTTP/1.1\r\nHost: " +
      (request.port == 443 ? request.host : HostAndPort(request)) +
      "\r\nUser-Agent: " + kUserAgent + "\r\n";
  if (request.content)
    text += "Content-Type: " + request.content->type + "\r\nContent-Length: " +
            std::to_string(request.content->bytes.size()) + "\r\n";
  else
    text += "Accept: text/plain\r\n";
  // A compressed answer could escape the body's bound.
  text += "Accept-Encoding: identity\r\nConnection: close\r\n\r\n";
  if (request.content) text += request.content->bytes;
  return text;
}

// Lets a request be cancelled as long as this lives. The connection is closed:
// to cancel what is pending would let who drips go on with the next byte.
class Cancellable {
 public:
  Cancellable(std::shared_ptr<HttpsCancel> cancel, beast::tcp_stream& tcp)
      : cancel_(std::move(cancel)) {
    if (cancel_) cancel_->call = [&tcp] { tcp.close(); };
  }
  ~Cancellable() {
    if (cancel_) cancel_->call = nullptr;
  }
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;

 private:
  std::shared_ptr<HttpsCancel> cancel_;
};

// Sends `text` and reads the answer to its end. What went wrong; or no error,
// and the answer's state says it.
template <class Connection>
Awaitable<error_code> Exchange(Connection& connection, const std::string& text,
                               HttpAnswer& answer) {
  // Who answers before he has read all may hang up on the rest: the answer
  // counts, if it comes.
  const auto [unsent, sent] =
      co_await asio::async_write(connection, asio::buffer(text), kAwait);
  std::array<char, 4096> bytes;
  for (;;) {
    const auto [error, size] =
        co_await connection.async_read_some(asio::buffer(bytes), kAwait);
    if (answer.Feed({bytes.data(), size}) != HttpAnswer::State::kReading)
      co_return error_code();
    if (!error) continue;
    const bool clean = error == asio::error::eof;
    answer.End(clean);
    if (clean || error == asio::ssl::error::stream_truncated) co_return unsent;
    co_return unsent ? unsent : error;
  }
}

// To the proxy, and through it to the host.
Awaitable<HttpsResponse> GoThroughProxy(beast::tcp_stream& tcp,
                                        const HttpsRequest& request) {
  HttpsResponse failed =
      Failed(HttpsFailure::kLocal, "sts.proxy has no address");
  for (const IpAddress& address : request.proxy->addresses) {
    if (request.cancel && request.cancel->cancelled) break;
    tcp.close();  // of the address before
    const auto proxy = EndpointOf(address, request.proxy->port);
    const std::string step = "proxy " + address.ToString();
    if (const auto [error] = co_await tcp.async_connect(proxy, kAwait); error) {
      failed = FailedBy(HttpsFailure::kLocal, step, error);
      continue;
    }
    const std::string host = HostAndPort(request);
    const std::string text =
        "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    HttpAnswer answer = HttpAnswer::ToConnect();
    const error_code error = co_await Exchange(tcp, text, answer);
    const int status = answer.status();
    if (answer.state() == HttpAnswer::State::kDone && status / 100 == 2)
      co_return HttpsResponse{};
    if (status == 0)
      co_return error
          ? FailedBy(HttpsFailure::kLocal, step, error)
          : Failed(HttpsFailure::kLocal, step + ": " + answer.problem());
    // RFC 9110 section 15.6: then it is the host that the proxy cannot reach,
    // as far as it knows.
    const bool gateway = status >= 502 && status <= 504;
    co_return Failed(
        gateway ? HttpsFailure::kConnect : HttpsFailure::kLocal,
        step + " answered " + std::to_string(status) + " to CONNECT");
  }
  co_return failed;
}

}  // namespace

struct BeastHttps::Trust {
  asio::ssl::context tls{asio::ssl::context::tls_client};
  bool empty = false;  // no authority: every server would be a stranger
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
  trust->empty = sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) == 0;
  if (trust->empty)
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

  beast::tcp_stream& tcp = stream.next_layer();
  const Cancellable cancellable(request.cancel, tcp);
  tcp.expires_at(request.connect_deadline);
  if (request.proxy) {
    HttpsResponse failed = co_await GoThroughProxy(tcp, request);
    if (failed.failure != HttpsFailure::kNone) co_return failed;
  } else if (const auto [error] = co_await tcp.async_connect(
                 EndpointOf(request.address, request.port), kAwait);
             error) {
    co_return NotConnected(error);
  }

  // Still within the connect deadline: who accepts and then says nothing must
  // leave time for the next address.
  if (const auto [error] = co_await stream.async_handshake(
          asio::ssl::stream_base::client, kAwait);
      error)
    co_return HandshakeFailed(ssl, error, trust->empty);
  tcp.expires_at(request.deadline);

  const std::string text = TextOf(request);
  HttpAnswer answer(request.max_body);
  const error_code error = co_await Exchange(stream, text, answer);
  HttpsResponse response;
  response.status = answer.status();
  switch (answer.state()) {
    case HttpAnswer::State::kDone:
      break;
    case HttpAnswer::State::kTooLarge:
      response.failure = HttpsFailure::kTooLarge;
      response.detail = "the answer is larger than " +
                        std::to_string(request.max_body) + " bytes";
      break;
    case HttpAnswer::State::kReading:
    case HttpAnswer::State::kBroken:
      response.failure = error == beast::error::timeout
                             ? HttpsFailure::kTimeout
                             : HttpsFailure::kProtocol;
      response.detail = error == beast::error::timeout ? "the answer timed out"
                                                       : answer.problem();
      if (error) response.detail += " (" + error.message() + ")";
  }
  response.content_type = answer.content_type();
  response.content_encoding = answer.content_encoding();
  response.retry_after = answer.retry_after();
  response.body = answer.TakeBody();
  // No close_notify: the peer has said all, and may be slow to say goodbye.
  co_return response;
}

}  // namespace postern
