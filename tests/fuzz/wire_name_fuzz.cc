// A DNS name in wire form.
#include "common/domain_name.h"
#include "common/getdns_answer.h"
#include "common/text.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string text = WireNameToText(data, size);
  Require(Printable(text, 4 * size + 10) == text, "names are safe to print");
  const auto normal = NormalizeDomain(text);
  Require(!normal || *normal == text, "text is in normal form or no name");
  return 0;
}
