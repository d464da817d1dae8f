#include "report-sender/base64.h"

#include <cstddef>
#include <cstdint>

namespace postern {

std::string Base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (; !bytes.empty();
       bytes.remove_prefix(bytes.size() < 3 ? bytes.size() : 3)) {
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i)
      group = group << 8 |
              (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0);
    for (size_t i = 0; i < 4; ++i)
      text += i <= bytes.size() ? kDigits[group >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

}  // namespace postern
