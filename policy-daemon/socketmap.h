// The socketmap wire format: netstrings with "MAP KEY" in and a reply out.
//
//   request  "18:policy example.com,"      split at the first blank
//   reply    "9:NOTFOUND ,"                OK/NOTFOUND/TEMP/PERM SP text
//
// Pure: bytes in, views into the same bytes out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern {

// Postfix caps its own queries at 10,000 bytes (3.12); no key that we answer
// is longer than 255.
inline constexpr size_t kMaxRequestPayload = 10240;
// Longest netstring around such a payload: five digits, ':' and ','.
inline constexpr size_t kMaxRequestBytes = kMaxRequestPayload + 7;
// Postfix refuses longer replies (dict_sockmap.c).
inline constexpr size_t kMaxReplyPayload = 100000;

struct NetstringParse {
  enum class State {
    kComplete,
    kIncomplete,  // a valid beginning: read on
    kMalformed,   // close the connection
  };
  State state = State::kIncomplete;
  std::string_view payload;  // kComplete: inside the given bytes
  size_t consumed = 0;       // kComplete: bytes up to and with the ','
};

NetstringParse ParseNetstring(std::string_view bytes);

struct SocketmapRequest {
  std::string_view map;
  std::string_view key;  // may hold anything, blanks too
};

SocketmapRequest SplitRequest(std::string_view payload);

// REQUIRES: payload.size() <= kMaxReplyPayload.
std::string EncodeNetstring(std::string_view payload);

}  // namespace postern
