#include "policy-daemon/tlsa.h"

#include <algorithm>
#include <memory>

#include <openssl/err.h>
#include <openssl/x509.h>

namespace postern {
namespace {

constexpr size_t kSha256Length = 32;
constexpr size_t kSha512Length = 64;

struct X509Free {
  void operator()(X509* x) const { X509_free(x); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

bool ParsesAs(uint8_t selector, const std::string& data) {
  const auto* begin = reinterpret_cast<const unsigned char*>(data.data());
  const auto* at = begin;
  const auto length = static_cast<long>(data.size());
  if (selector == 0) {
    const std::unique_ptr<X509, X509Free> parsed(
        d2i_X509(nullptr, &at, length));
    // OpenSSL's DANE, and so Postfix, refuses one whose key it cannot read.
    return parsed && at == begin + length && X509_get0_pubkey(parsed.get());
  }
  const std::unique_ptr<EVP_PKEY, KeyFree> parsed(
      d2i_PUBKEY(nullptr, &at, length));
  return parsed && at == begin + length;
}

}  // namespace

bool IsUsable(const TlsaRecord& record) {
  if (record.usage != 2 && record.usage != 3) return false;
  if (record.selector > 1) return false;
  switch (record.matching_type) {
    case 0:
      if (ParsesAs(record.selector, record.data)) return true;
      ERR_clear_error();  // or a TLS session on this thread would report it
      return false;
    case 1:
      return record.data.size() == kSha256Length;
    case 2:
      return record.data.size() == kSha512Length;
    default:
      return false;
  }
}

std::string ToString(const TlsaRecord& record) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string text = std::to_string(record.usage) + ' ' +
                     std::to_string(record.selector) + ' ' +
                     std::to_string(record.matching_type) + ' ';
  for (char c : record.data) {
    const auto byte = static_cast<unsigned char>(c);
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

std::vector<std::string> TlsaStrings(const std::vector<TlsaRecord>& records) {
  std::vector<std::string> strings;
  for (const TlsaRecord& record : records) strings.push_back(ToString(record));
  std::sort(strings.begin(), strings.end());
  return strings;
}

}  // namespace postern
