#include "policy-daemon/socketmap.h"

#include <cassert>

#include "common/text.h"

namespace postern {

NetstringParse ParseNetstring(std::string_view bytes) {
  using State = NetstringParse::State;
  size_t length = 0;
  size_t pos = 0;
  for (; pos < bytes.size() && bytes[pos] != ':'; ++pos) {
    const char c = bytes[pos];
    // A leading zero is only right for the empty string "0:,".
    const bool leading_zero = pos == 1 && bytes[0] == '0';
    if (!IsAsciiDigit(c) || leading_zero) return {State::kMalformed, {}, 0};
    length = length * 10 + static_cast<size_t>(c - '0');
    if (length > kMaxRequestPayload) return {State::kMalformed, {}, 0};
  }
  if (pos == bytes.size()) return {};
  if (pos == 0) return {State::kMalformed, {}, 0};
  const size_t start = pos + 1;
  if (bytes.size() <= start + length) return {};
  if (bytes[start + length] != ',') return {State::kMalformed, {}, 0};
  return {State::kComplete, bytes.substr(start, length), start + length + 1};
}

SocketmapRequest SplitRequest(std::string_view payload) {
  const size_t blank = payload.find(' ');
  if (blank == std::string_view::npos) return {payload, {}};
  return {payload.substr(0, blank), payload.substr(blank + 1)};
}

std::string EncodeNetstring(std::string_view payload) {
  assert(payload.size() <= kMaxReplyPayload);
  std::string encoded = std::to_string(payload.size());
  encoded.reserve(encoded.size() + payload.size() + 2);
  encoded += ':';
  encoded += payload;
  encoded += ',';
  return encoded;
}

}  // namespace postern
