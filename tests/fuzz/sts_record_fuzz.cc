// The TXT records at _mta-sts, one a line.
#include <algorithm>

#include "common/text.h"

#include "policy-daemon/sts_record.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  std::vector<std::string> records;
  for (std::string_view line : SplitList(AsText(data, size), "\n"))
    records.emplace_back(line);
  const StsRecord record = ParseStsRecords(records);
  const bool valid = record.state == StsRecord::State::kValid;
  Require(record.id.empty() != valid, "only a valid record has an id");
  Require(record.id.size() <= 32 &&
              std::all_of(record.id.begin(), record.id.end(), IsAsciiAlnum),
          "an id has up to 32 letters and digits");
  Require(
      (record.state == StsRecord::State::kInvalid) == !record.problem.empty(),
      "an invalid record has a problem");
  Require(Printable(record.problem) == record.problem, "problems are safe");
  return 0;
}
