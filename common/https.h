// HTTPS as MTA-STS (GET) and TLSRPT (POST) need it. HttpsClient is the seam:
// BeastHttps talks to real servers, the tests answer from a table.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/ip_address.h"

namespace postern {

// Ends a request early, by kTimeout: its connection is closed at once.
struct HttpsCancel {
  bool cancelled = false;
  std::function<void()> call;  // empty: the request does not run

  void Cancel() {
    cancelled = true;
    if (call) call();
  }
};

// The way through an HTTP proxy (CONNECT), which resolves the host itself.
struct HttpsProxy {
  std::vector<IpAddress> addresses;  // of the proxy, tried in turn
  uint16_t port = 0;
};

struct HttpsContent {
  std::string type;  // Content-Type
  std::string bytes;
};

struct HttpsRequest {
  std::string host;  // SNI, Host, and the name that the certificate must have
  IpAddress address;
  std::optional<HttpsProxy> proxy;  // connected to instead of the address
  uint16_t port = 443;
  std::string path;  // with the query
  // What is posted; without it, it is a GET.
  std::optional<HttpsContent> content;
  size_t max_body = 0;                  // bytes
  SteadyTime connect_deadline;          // for TCP and TLS
  SteadyTime deadline;                  // for everything together
  std::shared_ptr<HttpsCancel> cancel;  // null: nobody will
};

enum class HttpsFailure {
  kNone,
  // Ours, whoever the other side is: no route, no permission, no descriptor,
  // no authorities, no way through the proxy.
  kLocal,
  kRefused,      // the address refused the connection
  kConnect,      // it could not be reached otherwise, or not in time
  kCertificate,  // WebPKI: untrusted, expired, another name
  kTls,          // the handshake failed otherwise
  kProtocol,     // not HTTP, or cut off
  kTooLarge,
  kTimeout,  // connected, but too slow
};

// kCertificate: what is wrong with it.
enum class CertificateFault {
  kOther,
  kExpired,
  kNotYetValid,
  kOtherName,
  kSelfSigned,
  kUntrusted,  // no chain to an authority that we trust
};

struct HttpsResponse {
  HttpsFailure failure = HttpsFailure::kNone;
  CertificateFault certificate = CertificateFault::kOther;
  // With a failure: why, for our own people. It tells of our network, too.
  std::string detail;
  int status = 0;  // also where the answer broke off after it
  std::string content_type;
  std::string content_encoding;
  std::string retry_after;
  std::string body;
};

class HttpsClient {
 public:
  virtual ~HttpsClient() = default;
  // Redirects are not followed: they are the caller's status to judge.
  virtual Awaitable<HttpsResponse> Ask(HttpsRequest request) = 0;
};

}  // namespace postern
