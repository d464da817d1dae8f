#include "common/json_text.h"

#include <charconv>

#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kGrowth = 512;  // most lines are shorter
constexpr size_t kMaxDigits = 20;

}  // namespace

void JsonText::Grow(size_t bytes) {
  const auto size = static_cast<size_t>(end_ - out_.data());
  out_.resize(size + bytes + kGrowth);
  end_ = out_.data() + size;
  room_end_ = out_.data() + out_.size();
}

void JsonText::PutNumber(uint64_t number) {
  MakeRoom(kMaxDigits);
  end_ = std::to_chars(end_, end_ + kMaxDigits, number).ptr;
}

void JsonText::PutEscaped(std::string_view value) {
  while (!value.empty()) {
    const size_t plain = PlainLength(value);
    MakeRoom(plain);
    end_ += value.copy(end_, plain);
    value.remove_prefix(plain);
    if (!value.empty()) PutEscapedCharacter(value);
  }
  Put("\"");
}

void JsonText::PutEscapedCharacter(std::string_view& text) {
  const char32_t code = TakeUtf8(text);
  if (code == '"') {
    Put(R"(\")");
  } else if (code == '\\') {
    Put(R"(\\)");
  } else if (code <= 0xffff) {
    PutUnit(code);
  } else {
    PutUnit(0xd800 + ((code - 0x10000) >> 10));
    PutUnit(0xdc00 + (code & 0x3ff));
  }
}

void JsonText::PutUnit(char32_t unit) {
  static constexpr char kHex[] = "0123456789abcdef";
  const char text[] = {'\\',
                       'u',
                       kHex[unit >> 12],
                       kHex[unit >> 8 & 15],
                       kHex[unit >> 4 & 15],
                       kHex[unit & 15],
                       '\0'};
  Put(text);
}

}  // namespace postern
