// The real HttpsClient: Boost.Beast over Asio's TLS.
//
// It enforces what MTA-STS asks of the transport (RFC 8461 sections 3.3, 7):
// TLS >= 1.2, SNI, a WebPKI chain to a trusted root, the host as a DNS-ID
// (never the common name, wildcards only as a whole label), no redirects, the
// body's bound, the deadline. Boost.Beast is dear to compile: it stands in
// this module's .cc alone.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "common/https.h"
#include "common/result.h"

namespace postern {

class BeastHttps final : public HttpsClient {
 public:
  // `ca_file`: PEM authorities; "" for the system's. `loop` outlives it.
  static Result<std::unique_ptr<BeastHttps>> Create(
      boost::asio::io_context& loop, const std::string& ca_file);
  ~BeastHttps() override;

  Awaitable<HttpsResponse> Get(HttpsRequest request) override;

 private:
  struct State;
  explicit BeastHttps(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace postern
