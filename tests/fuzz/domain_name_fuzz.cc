// A name from Postfix or DNS, U-labels among them.
#include "common/domain_name.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view name = AsText(data, size);
  const auto normal = NormalizeDomain(name);
  Require(!IsNormalDomain(name) || normal == name, "a normal name stays");
  if (!normal) return 0;
  Require(IsNormalDomain(*normal), "the result is in normal form");
  Require(NormalizeDomain(*normal) == normal, "twice is once");
  return 0;
}
