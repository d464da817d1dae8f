#include "common/json_text.h"

#include <array>

#include "common/text.h"

namespace postern {
namespace {

// By byte: printable ASCII that means itself in a JSON string.
constexpr auto kPlain = [] {
  std::array<bool, 256> plain{};
  for (unsigned char c = 0x20; c < 0x7f; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

void AppendUnit(char32_t unit, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += {'\\',
          'u',
          kHex[unit >> 12],
          kHex[unit >> 8 & 15],
          kHex[unit >> 4 & 15],
          kHex[unit & 15]};
}

void AppendEscaped(char32_t code, std::string& out) {
  if (code <= 0xffff) return AppendUnit(code, out);
  code -= 0x10000;
  AppendUnit(0xd800 + (code >> 10), out);
  AppendUnit(0xdc00 + (code & 0x3ff), out);
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() &&
           kPlain[static_cast<unsigned char>(text[plain])])
      ++plain;
    out.append(text, 0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const char c = text.front();
    if (c == '"' || c == '\\') {
      out += {'\\', c};
      text.remove_prefix(1);
    } else {
      AppendEscaped(TakeUtf8(text), out);
    }
  }
  out += '"';
}

}  // namespace postern
