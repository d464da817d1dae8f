// What owners are told of failed fetches: nothing of our own.
#include "policy-daemon/fetch_reason.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

constexpr char kHost[] = "mta-sts.example.com";

// What our own people are told, and nobody else.
constexpr char kOurs[] =
    "10.1.2.3: connect: Connection refused (resolver 10.0.0.53, proxy "
    "192.168.1.1, error:0A000086:SSL routines)";

TEST(FetchReason, EveryFailureHasFixedWords) {
  const std::pair<HttpsFailure, const char*> table[] = {
      {HttpsFailure::kRefused, "mta-sts.example.com refused the connection"},
      {HttpsFailure::kConnect, "mta-sts.example.com could not be connected to"},
      {HttpsFailure::kTls, "the TLS handshake with mta-sts.example.com failed"},
      {HttpsFailure::kProtocol,
       "the answer of mta-sts.example.com was not HTTP, or broke off"},
      {HttpsFailure::kTooLarge, "the policy file is larger than 65536 bytes"},
      {HttpsFailure::kTimeout,
       "the answer of mta-sts.example.com did not come in time"},
      {HttpsFailure::kCertificate,
       "the certificate of mta-sts.example.com is not valid"},
      {HttpsFailure::kLocal, "the policy file could not be fetched"},
  };
  for (const auto& [failure, told] : table) {
    HttpsResponse response;
    response.failure = failure;
    response.detail = kOurs;
    EXPECT_EQ(ToldOf(response, kHost), told);
  }
}

TEST(FetchReason, ACertificatesFaultIsItsOwners) {
  const std::pair<CertificateFault, const char*> table[] = {
      {CertificateFault::kExpired, "has expired"},
      {CertificateFault::kNotYetValid, "is not valid yet"},
      {CertificateFault::kOtherName, "is for another name (mismatch)"},
      {CertificateFault::kSelfSigned, "is self-signed"},
      {CertificateFault::kUntrusted,
       "leads to no authority that is trusted here"},
      {CertificateFault::kOther, "is not valid"},
  };
  for (const auto& [fault, told] : table) {
    HttpsResponse response;
    response.failure = HttpsFailure::kCertificate;
    response.certificate = fault;
    response.detail = kOurs;
    EXPECT_EQ(ToldOf(response, kHost),
              "the certificate of mta-sts.example.com " + std::string(told));
  }
}

TEST(FetchReason, NoAddressHasFixedWordsToo) {
  HostAddresses addresses;
  addresses.problem = kOurs;
  EXPECT_EQ(ToldOf(addresses, kHost), "mta-sts.example.com has no address");
  addresses.lookup_failed = true;
  EXPECT_EQ(ToldOf(addresses, kHost),
            "the addresses of mta-sts.example.com could not be looked up");
  addresses.refused = true;
  addresses.not_global = {IpAddress::Parse("10.1.2.3").value()};
  EXPECT_EQ(ToldOf(addresses, kHost),
            "mta-sts.example.com has only non-global addresses");
}

}  // namespace
}  // namespace postern
