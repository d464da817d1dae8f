#include "policy-daemon/tlsa.h"

#include <memory>

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

namespace postern {
namespace {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

const KeyPtr& Key() {
  static const KeyPtr key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  return key;
}

std::string PublicKeyDer() {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(Key().get(), &der);
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

std::string CertificateDer() {
  const CertificatePtr certificate(X509_new(), &X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), Key().get());
  X509_sign(certificate.get(), Key().get(), EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

const std::string kSha256(32, '\x5a');
const std::string kSha512(64, '\x5a');

void Usable(const TlsaRecord& record) {
  EXPECT_TRUE(IsUsable(record)) << ToString(record);
}

void Unusable(const TlsaRecord& record, const char* why) {
  EXPECT_FALSE(IsUsable(record)) << ToString(record) << ": " << why;
}

TEST(Tlsa, IsUsableWithUsage2Or3) {
  Usable({2, 0, 1, kSha256});
  Usable({3, 1, 1, kSha256});
  Unusable({0, 0, 1, kSha256}, "PKIX-TA: RFC 7672 section 3.1.3");
  Unusable({1, 1, 1, kSha256}, "PKIX-EE: RFC 7672 section 3.1.3");
  Unusable({4, 1, 1, kSha256}, "unknown usage");
  Unusable({255, 1, 1, kSha256}, "private use");
}

TEST(Tlsa, IsUsableWithSelector0Or1) {
  Usable({3, 0, 1, kSha256});
  Usable({3, 1, 1, kSha256});
  Unusable({3, 2, 1, kSha256}, "unknown selector");
  Unusable({3, 255, 1, kSha256}, "private use");
}

TEST(Tlsa, NeedsADigestOfTheRightLength) {
  Usable({3, 1, 1, kSha256});
  Unusable({3, 1, 1, kSha256.substr(1)}, "31 bytes");
  Unusable({3, 1, 1, kSha256 + "x"}, "33 bytes");
  Unusable({3, 1, 1, kSha512}, "SHA-512 called SHA-256");
  Unusable({3, 1, 1, ""}, "empty");
  Usable({2, 0, 2, kSha512});
  Unusable({2, 0, 2, kSha512.substr(1)}, "63 bytes");
  Unusable({2, 0, 2, kSha512 + "x"}, "65 bytes");
  Unusable({2, 0, 2, kSha256}, "SHA-256 called SHA-512");
  Unusable({3, 1, 3, kSha512}, "unknown matching type");
  Unusable({3, 1, 255, kSha512}, "private use");
}

TEST(Tlsa, NeedsAWholeCertificateForSelector0) {
  const std::string certificate = CertificateDer();
  Usable({2, 0, 0, certificate});
  Usable({3, 0, 0, certificate});
  Unusable({3, 0, 0, PublicKeyDer()}, "a key is no certificate");
  Unusable({3, 0, 0, certificate.substr(0, certificate.size() - 1)}, "cut");
  Unusable({3, 0, 0, certificate + '\0'}, "a byte behind");
  Unusable({3, 0, 0, ""}, "empty");
  Unusable({3, 0, 0, kSha256}, "a digest");
  Unusable({0, 0, 0, certificate}, "usage 0");
}

TEST(Tlsa, NeedsACertificateWhoseKeyIsKnown) {
  // OpenSSL refuses it (X509_get0_pubkey in dane_tlsa_add), so Postfix does.
  std::string certificate = CertificateDer();
  const std::string ec_public_key("\x2a\x86\x48\xce\x3d\x02\x01", 7);
  const size_t at = certificate.find(ec_public_key);
  ASSERT_NE(at, std::string::npos);
  certificate[at + 6] = '\x7f';
  Unusable({3, 0, 0, certificate}, "unknown key algorithm");
}

TEST(Tlsa, NeedsAWholePublicKeyForSelector1) {
  const std::string key = PublicKeyDer();
  Usable({2, 1, 0, key});
  Usable({3, 1, 0, key});
  Unusable({3, 1, 0, CertificateDer()}, "a certificate is no key");
  Unusable({3, 1, 0, key.substr(0, key.size() - 1)}, "cut");
  Unusable({3, 1, 0, key + '\0'}, "a byte behind");
  Unusable({3, 1, 0, ""}, "empty");
  Unusable({3, 1, 0, kSha256}, "a digest");
}

TEST(Tlsa, LeavesNoOpensslErrorBehind) {
  ERR_clear_error();
  for (const std::string& data :
       {std::string("junk"), PublicKeyDer(), CertificateDer()}) {
    for (uint8_t selector : {0, 1}) {
      static_cast<void>(IsUsable({3, selector, 0, data}));
      EXPECT_EQ(ERR_peek_error(), 0u);
    }
  }
}

TEST(Tlsa, IsWrittenInPresentationForm) {
  EXPECT_EQ(ToString(TlsaRecord{3, 1, 1, std::string("\x00\x8d\xff", 3)}),
            "3 1 1 008DFF");
  EXPECT_EQ(ToString(TlsaRecord{255, 0, 2, ""}), "255 0 2 ");
}

}  // namespace
}  // namespace postern
