// A lookup key of Postfix.
#include "common/domain_name.h"

#include "policy-daemon/policy_key.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  static const ServicePorts services = {{"smtp", 25}, {"submission", 587}};
  const auto key = ParsePolicyKey(AsText(data, size), services);
  if (!key) return 0;
  Require(size <= kMaxKeyLength, "a long key is none");
  Require(IsNormalDomain(key->domain), "the domain is in normal form");
  Require(key->port != 0, "there is no port 0");
  const auto again = ParsePolicyKey(key->ToString(), services);
  Require(again && again->domain == key->domain && again->port == key->port &&
              again->is_host == key->is_host,
          "its spelling parses to itself");
  return 0;
}
