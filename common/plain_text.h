// Plain text: printable ASCII but '"' and '\', which is itself in every format
// that we read and write. Nearly all text is plain: what is not need be looked
// for only, sixteen bytes at a time.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace postern {

inline constexpr size_t kPlainStep = 16;

// How many of kPlainStep bytes are plain, up to the first that is not.
inline size_t PlainLengthInStep(const char* text) {
  // A vector of the compiler's: SSE2, NEON, or what else there is.
  typedef unsigned char Bytes __attribute__((vector_size(kPlainStep)));
  typedef signed char Signed __attribute__((vector_size(kPlainStep)));
  Bytes bytes;
  std::memcpy(&bytes, text, sizeof bytes);
  // Signed, the successors of 0x7f and of all beyond are less, too.
  const Signed successors = reinterpret_cast<Signed>(bytes + 1);
  const Signed others = (successors < 0x21) | (bytes == '"') | (bytes == '\\');
  uint64_t half[2];
  std::memcpy(half, &others, sizeof half);
  const auto length = [](uint64_t eight) {
    return static_cast<size_t>(std::endian::native == std::endian::little
                                   ? std::countr_zero(eight)
                                   : std::countl_zero(eight)) /
           8;
  };
  return half[0] ? length(half[0]) : 8 + length(half[1]);
}

// How many of the first bytes are plain.
inline size_t PlainLength(std::string_view text) {
  if (text.size() < kPlainStep) {
    char all[kPlainStep] = {};  // NULs are not plain
    text.copy(all, kPlainStep);
    return PlainLengthInStep(all);
  }
  const size_t last = text.size() - kPlainStep;
  for (size_t at = 0; at < last; at += kPlainStep) {
    const size_t length = PlainLengthInStep(text.data() + at);
    if (length < kPlainStep) return at + length;
  }
  return last + PlainLengthInStep(text.data() + last);
}

}  // namespace postern
