#include "policy-daemon/fetch_reason.h"

namespace postern {
namespace {

std::string ToldOf(CertificateFault fault, const std::string& host) {
  const std::string certificate = "the certificate of " + host;
  switch (fault) {
    case CertificateFault::kExpired:
      return certificate + " has expired";
    case CertificateFault::kNotYetValid:
      return certificate + " is not valid yet";
    case CertificateFault::kOtherName:
      return certificate + " is for another name (mismatch)";
    case CertificateFault::kSelfSigned:
      return certificate + " is self-signed";
    case CertificateFault::kUntrusted:
      return certificate + " leads to no authority that is trusted here";
    case CertificateFault::kOther:
      break;
  }
  return certificate + " is not valid";
}

}  // namespace

std::string ToldOf(const HostAddresses& addresses, const std::string& host) {
  if (addresses.refused) return host + " has only non-global addresses";
  if (addresses.lookup_failed)
    return "the addresses of " + host + " could not be looked up";
  return host + " has no address";
}

std::string ToldOf(const HttpsResponse& failed, const std::string& host) {
  switch (failed.failure) {
    case HttpsFailure::kRefused:
      return host + " refused the connection";
    case HttpsFailure::kConnect:
      return host + " could not be connected to";
    case HttpsFailure::kCertificate:
      return ToldOf(failed.certificate, host);
    case HttpsFailure::kTls:
      return "the TLS handshake with " + host + " failed";
    case HttpsFailure::kProtocol:
      return "the answer of " + host + " was not HTTP, or broke off";
    case HttpsFailure::kTooLarge:
      return "the policy file is larger than 65536 bytes";
    case HttpsFailure::kTimeout:
      return "the answer of " + host + " did not come in time";
    case HttpsFailure::kLocal:
    case HttpsFailure::kNone:
      break;
  }
  return "the policy file could not be fetched";
}

}  // namespace postern
