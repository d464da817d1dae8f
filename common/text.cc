#include "common/text.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace postern {

std::string ToLowerAscii(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), AsciiLower);
  return lower;
}

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::string Printable(std::string_view text, size_t max_length) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (char c : text) {
    if (c >= 0x20 && c <= 0x7e) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
    if (out.size() > max_length) {
      out.resize(max_length);
      return out + "...";
    }
  }
  return out;
}

char32_t TakeUtf8(std::string_view& text) {
  // By the number of bytes: what takes that many, and no less.
  static constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800,
                                                        0x10000};
  const auto first = static_cast<unsigned char>(text.front());
  const size_t length = first < 0x80   ? 1
                        : first < 0xc0 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf8 ? 4
                                       : 0;
  bool good = length > 0 && length <= text.size();
  char32_t code = length == 1 ? first : first & (0x7f >> length);
  for (size_t i = 1; good && i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    good = (next & 0xc0) == 0x80;
    code = code << 6 | (next & 0x3f);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  good = good && code >= kSmallest[length] && code <= 0x10ffff && !surrogate;
  text.remove_prefix(good ? length : 1);
  return good ? code : kReplacementCharacter;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t before = text.size();
    if (static_cast<unsigned char>(text.front()) < 0x80)
      text.remove_prefix(1);
    else if (TakeUtf8(text) == kReplacementCharacter &&
             before == text.size() + 1)
      return false;
  }
  return true;
}

std::optional<uint64_t> ParseUint(std::string_view text, uint64_t max) {
  if (text.empty()) return std::nullopt;
  uint64_t value = 0;
  for (char c : text) {
    if (!IsAsciiDigit(c)) return std::nullopt;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (digit > max || value > (max - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

std::vector<std::string_view> SplitList(std::string_view text,
                                        std::string_view separators) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

namespace {

// Levenshtein distance, one row at a time.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row.back();
}

}  // namespace

std::string NearestName(std::string_view name,
                        const std::vector<std::string>& known) {
  std::string nearest;
  // Further away than a third of the name, a guess would only confuse.
  size_t best = std::max<size_t>(3, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace postern
