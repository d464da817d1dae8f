// "v=STSv1; id=1;": what MTA-STS and TLSRPT records are made of.
#include "common/tag_list.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view record = AsText(data, size);
  static_cast<void>(HasVersion(record, "v=STSv1"));
  const auto tags = ParseTagList(record);
  if (!tags) return 0;
  Require(!tags->empty(), "a list has a field");
  std::string joined;
  for (const Tag& tag : *tags) {
    Require(!tag.name.empty() && tag.name.size() <= 32, "names have bounds");
    Require(!tag.value.empty(), "a field has a value");
    Require(tag.value.find(';') == std::string_view::npos,
            "a value ends at the delimiter");
    joined.append(tag.name).append("=").append(tag.value).append(";");
  }
  const auto again = ParseTagList(joined);
  Require(again && again->size() == tags->size(), "written, it reads the same");
  return 0;
}
