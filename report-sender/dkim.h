// DKIM signatures (RFC 6376) for the mails that carry reports: receivers ignore
// those without (RFC 8460 section 3).
//
//   DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;
//    s=tlsrpt; t=1795395425; h=from:to:...; bh=...; b=...
//
// rsa-sha256, and ed25519-sha256 (RFC 8463) for who has that, too: a key, a
// signature. Every field of the header is signed, those that speak for the
// report (From, TLS-Report-*) once more, so that none can be added; the whole
// body is (RFC 8460 section 3: no l=).
//
// Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/result.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace postern {

class DkimKey {
 public:
  // `pem`: an RSA key of at least 1024 bits (RFC 8301 section 3.2) or an
  // Ed25519 key, without a passphrase.
  static Result<DkimKey> FromPem(std::string_view pem);

  // "rsa-sha256" or "ed25519-sha256".
  const char* algorithm() const;
  // What the TXT record at SELECTOR._domainkey.DOMAIN is to be.
  std::string DnsRecord() const;
  // Base64; an Error where OpenSSL fails.
  Result<std::string> Sign(std::string_view header) const;

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const;
  };
  explicit DkimKey(evp_pkey_st* key) : key_(key) {}
  bool IsRsa() const;

  std::unique_ptr<evp_pkey_st, Free> key_;
};

struct DkimSigner {
  std::string domain;    // in normal form
  std::string selector;  // a key has one of its own
  DkimKey key;
};

// `message` with a signature field for each signer in front.
// REQUIRES: a header without a field twice, an empty line, a body; lines that
// end in '\n'.
Result<std::string> DkimSign(std::string_view message,
                             const std::vector<DkimSigner>& signers,
                             WallTime now);

// RFC 6376 sections 3.4.2 and 3.4.4: what is signed, lines ending in CRLF.
std::string RelaxedField(std::string_view field);
std::string RelaxedBody(std::string_view body);

}  // namespace postern
