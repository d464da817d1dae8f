#include "common/tag_list.h"

#include <algorithm>

#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kMaxNameLength = 32;  // RFC 8461 section 3.1

bool IsTagName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameLength) return false;
  if (!IsAsciiAlnum(name.front())) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return IsAsciiAlnum(c) || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

bool HasVersion(std::string_view record, std::string_view version_field) {
  if (!record.starts_with(version_field)) return false;
  return TrimBlanks(record.substr(version_field.size())).starts_with(';');
}

std::optional<std::vector<Tag>> ParseTagList(std::string_view record) {
  std::vector<Tag> tags;
  for (bool last = false; !last;) {
    const size_t end = record.find(';');
    last = end == std::string_view::npos;
    const std::string_view field = TrimBlanks(record.substr(0, end));
    record.remove_prefix(last ? record.size() : end + 1);
    if (field.empty() && last && !tags.empty()) break;  // trailing delimiter
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const Tag tag{field.substr(0, equals), field.substr(equals + 1)};
    if (!IsTagName(tag.name) || tag.value.empty()) return std::nullopt;
    tags.push_back(tag);
  }
  return tags;
}

}  // namespace postern
