// A TLSA record in wire form: usage, selector, matching type, data.
#include "policy-daemon/tlsa.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  if (size < 3) return 0;
  const TlsaRecord record{data[0], data[1], data[2],
                          std::string(AsText(data + 3, size - 3))};
  if (IsUsable(record))
    Require(record.usage >= 2 && record.usage <= 3 && record.selector <= 1 &&
                record.matching_type <= 2 && !record.data.empty(),
            "only known fields are usable");
  static_cast<void>(ToString(record));
  return 0;
}
