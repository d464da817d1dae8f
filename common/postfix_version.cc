#include "common/postfix_version.h"

#include "common/text.h"

namespace postern {

std::optional<PostfixVersion> PostfixVersion::Parse(std::string_view text) {
  constexpr uint64_t kMax = 1000;
  const auto parts = SplitList(text.substr(0, text.find('-')), ".");
  if (parts.size() < 2) return std::nullopt;
  PostfixVersion version;
  uint32_t* const numbers[] = {&version.major, &version.minor, &version.patch};
  for (size_t i = 0; i < parts.size() && i < 3; ++i) {
    const auto number = ParseUint(parts[i], kMax);
    if (!number) return std::nullopt;
    *numbers[i] = static_cast<uint32_t>(*number);
  }
  return version;
}

}  // namespace postern
