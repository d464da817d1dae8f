// Small text helpers for input that nobody vouches for.
//
// Printable() is the only way by which remote text may reach a log line, a
// terminal or the reason behind TEMP.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

inline bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsAsciiAlpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
inline bool IsAsciiAlnum(char c) { return IsAsciiAlpha(c) || IsAsciiDigit(c); }
inline bool IsBlank(char c) { return c == ' ' || c == '\t'; }
inline char AsciiLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string ToLowerAscii(std::string_view text);
std::string_view TrimBlanks(std::string_view text);

// The text with every byte outside printable ASCII as \xHH, cut to
// `max_length` bytes (then it ends in "...").
std::string Printable(std::string_view text, size_t max_length = 200);

// What stands for bytes that are not UTF-8.
inline constexpr char32_t kReplacementCharacter = 0xfffd;

// Takes the first character off `text`; of bytes that are not UTF-8, one byte
// as a kReplacementCharacter.
// REQUIRES: !text.empty().
char32_t TakeUtf8(std::string_view& text);
bool IsUtf8(std::string_view text);

// Decimal digits only (no sign, no blank), within [0, max].
std::optional<uint64_t> ParseUint(std::string_view text, uint64_t max);

// "a, b,c" -> {"a","b","c"}; empty parts are left out.
std::vector<std::string_view> SplitList(std::string_view text,
                                        std::string_view separators);

// Of `known`, the name most like `name`; empty if none is near.
std::string NearestName(std::string_view name,
                        const std::vector<std::string>& known);

}  // namespace postern
