// The real HttpsClient: Asio's TLS over Boost.Beast's socket with a deadline;
// answers are read by http_answer.
//
// It enforces what MTA-STS asks of the transport (RFC 8461 sections 3.3, 7),
// which is good for reports, too:
// TLS >= 1.2, SNI, a WebPKI chain to a trusted root, the host as a DNS-ID
// (never the common name, wildcards only as a whole label), no redirects, the
// body's bound, the deadline. Through a proxy, too, all of this is between us
// and the host.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "common/https.h"
#include "common/result.h"

namespace postern {

class BeastHttps final : public HttpsClient {
 public:
  // The authorities to trust, in memory: no handshake reads a file.
  struct Trust;
  // `ca_file`: PEM authorities; "" for the system's; `key` names the setting.
  // Blocks.
  static Result<std::shared_ptr<Trust>> LoadTrust(const std::string& ca_file,
                                                  const std::string& key);

  // `loop` outlives it.
  BeastHttps(boost::asio::io_context& loop, std::shared_ptr<Trust> trust);

  // For the requests to come.
  void Use(std::shared_ptr<Trust> trust) { trust_ = std::move(trust); }

  Awaitable<HttpsResponse> Ask(HttpsRequest request) override;

 private:
  boost::asio::io_context& loop_;
  std::shared_ptr<Trust> trust_;
};

}  // namespace postern
