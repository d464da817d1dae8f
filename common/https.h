// HTTPS as MTA-STS (GET) and TLSRPT (POST) need it. HttpsClient is the seam:
// BeastHttps talks to real servers, the tests answer from a table.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/awaitable.h"
#include "common/clock.h"
#include "common/ip_address.h"

namespace postern {

// Ends a request early; it fails then.
struct HttpsCancel {
  std::function<void()> call;  // empty: the request does not run
};

struct HttpsContent {
  std::string type;  // Content-Type
  std::string bytes;
};

struct HttpsRequest {
  std::string host;  // SNI, Host, and the name that the certificate must have
  IpAddress address;
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
  kConnect,      // the address could not be reached
  kCertificate,  // WebPKI: untrusted, expired, another name
  kTls,          // the handshake failed otherwise
  kProtocol,     // not HTTP, or cut off
  kTooLarge,
  kTimeout,
};

struct HttpsResponse {
  HttpsFailure failure = HttpsFailure::kNone;
  std::string detail;  // with a failure: why, for a person
  int status = 0;      // also where the answer broke off after it
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
