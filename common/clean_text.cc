#include "common/clean_text.h"

#include <algorithm>

#include "common/text.h"

namespace postern {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool IsPrintableAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c <= 0x7e; });
}

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

bool IsNoncharacter(char32_t c) {
  return (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

}  // namespace

std::string CleanText(std::string_view text, size_t max_bytes) {
  // Nearly all text is this, and needs no look at each character.
  const std::string_view head = text.substr(0, max_bytes);
  if (IsPrintableAscii(head)) return std::string(head);
  std::string clean;
  while (!text.empty()) {
    const std::string_view before = text;
    const char32_t code = TakeUtf8(text);
    std::string_view character = before.substr(0, before.size() - text.size());
    if (code == kReplacementCharacter || IsNoncharacter(code))
      character = kReplacement;
    else if (IsControl(code))
      character = " ";
    if (clean.size() + character.size() > max_bytes) break;
    clean += character;
  }
  return clean;
}

}  // namespace postern
