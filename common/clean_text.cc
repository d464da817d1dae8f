#include "common/clean_text.h"

#include "common/plain_text.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

bool IsNoncharacter(char32_t c) {
  return (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

}  // namespace

std::string CleanText(std::string_view text, size_t max_bytes) {
  std::string clean;
  CleanTextInto(clean, text, max_bytes);
  return clean;
}

void CleanTextInto(std::string& clean, std::string_view text,
                   size_t max_bytes) {
  const size_t plain = PlainLength(text.substr(0, max_bytes));
  clean.assign(text, 0, plain);
  text.remove_prefix(plain);
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
}

void WholeTextInto(std::string& clean, std::string_view text,
                   size_t max_bytes) {
  CleanTextInto(clean, text, 3 * text.size());  // a repaired byte takes three
  if (clean.size() > max_bytes) clean.clear();
}

}  // namespace postern
