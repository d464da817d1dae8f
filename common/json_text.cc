#include "common/json_text.h"

#include "common/plain_text.h"
#include "common/text.h"

namespace postern {
namespace {

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
    const size_t plain = PlainLength(text);
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
