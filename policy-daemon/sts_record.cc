#include "policy-daemon/sts_record.h"

#include <algorithm>
#include <optional>

#include "common/tag_list.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr std::string_view kVersionField = "v=STSv1";
constexpr size_t kMaxIdLength = 32;

bool IsId(std::string_view value) {
  return value.size() <= kMaxIdLength &&
         std::all_of(value.begin(), value.end(), IsAsciiAlnum);
}

// sts-ext-value: %x21-3A / %x3C / %x3E-7E
bool IsExtensionValue(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != ';' && c != '=';
  });
}

StsRecord Invalid(std::string problem) {
  return {StsRecord::State::kInvalid, "", std::move(problem)};
}

StsRecord ParseOne(std::string_view record) {
  const auto tags = ParseTagList(record);
  if (!tags) return Invalid("the record is not a list of name=value fields");
  std::optional<std::string> id;
  for (const Tag& tag : *tags) {
    if (&tag == &tags->front()) continue;  // the version
    if (tag.name == "id") {
      // RFC 8461 section 3.2: of a repeated field only the first counts.
      if (!id) id = tag.value;
    } else if (!IsExtensionValue(tag.value)) {
      return Invalid("field '" + std::string(tag.name) + "' has a bad value");
    }
  }
  if (!id) return Invalid("the record has no id");
  if (!IsId(*id)) return Invalid("the id is not 1 to 32 letters and digits");
  return {StsRecord::State::kValid, *id, ""};
}

}  // namespace

StsRecord ParseStsRecords(const std::vector<std::string>& records) {
  std::vector<std::string_view> ours;
  for (const std::string& record : records)
    if (HasVersion(record, kVersionField)) ours.push_back(record);
  if (ours.empty()) return {};
  if (ours.size() > 1)
    return Invalid("there are " + std::to_string(ours.size()) +
                   " MTA-STS records instead of one");
  return ParseOne(ours.front());
}

}  // namespace postern
