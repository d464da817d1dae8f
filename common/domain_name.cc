#include "common/domain_name.h"

#include <algorithm>
#include <array>
#include <memory>

#include <idn2.h>

#include "common/text.h"

namespace postern {
namespace {

constexpr auto kOfNormalLabels = [] {
  std::array<bool, 256> good{};
  for (unsigned char c = 0; c < 0x80; ++c)
    good[c] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_';
  return good;
}();

bool IsNormalLabel(std::string_view label) {
  if (label.empty() || label.size() > kMaxLabelLength) return false;
  if (label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(), [](char c) {
    return kOfNormalLabels[static_cast<unsigned char>(c)];
  });
}

std::optional<std::string> ToALabels(const std::string& name) {
  char* output = nullptr;
  const int code = idn2_to_ascii_8z(name.c_str(), &output,
                                    IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  const std::unique_ptr<char, decltype(&idn2_free)> owner(output, &idn2_free);
  if (code != IDN2_OK) return std::nullopt;
  return std::string(output);
}

}  // namespace

bool IsNormalDomain(std::string_view name) {
  if (name.empty() || name.size() > kMaxDomainLength) return false;
  std::string_view label;
  for (std::string_view rest = name;;) {
    const size_t dot = rest.find('.');
    label = rest.substr(0, dot);
    if (!IsNormalLabel(label)) return false;
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return !std::all_of(label.begin(), label.end(), IsAsciiDigit);
}

std::optional<std::string> NormalizeDomain(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  const bool ascii = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x80;
  });
  // idn2 reads a C string, which a NUL would cut short.
  if (name.find('\0') != std::string_view::npos) return std::nullopt;
  std::optional<std::string> normal =
      ascii ? ToLowerAscii(name) : ToALabels(std::string(name));
  if (normal) *normal = ToLowerAscii(*normal);
  if (!normal || !IsNormalDomain(*normal)) return std::nullopt;
  return normal;
}

}  // namespace postern
