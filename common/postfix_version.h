// Which Postfix: what it can do depends on its version.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace postern {

struct PostfixVersion {
  uint32_t major = 0, minor = 0, patch = 0;

  // "3.10.4"; of a snapshot, "3.12-20260821", the patch level is 0.
  static std::optional<PostfixVersion> Parse(std::string_view text);

  friend auto operator<=>(const PostfixVersion&,
                          const PostfixVersion&) = default;
};

// Knows servername= in a policy's reply.
inline constexpr PostfixVersion kKnowsServername{3, 4, 0};
// Tells of its sessions (TLSRPT), takes policy_* attributes and a message's
// TLS-Required: no.
inline constexpr PostfixVersion kTellsOfSessions{3, 10, 0};
// Tells nothing of sessions for messages with TLS-Required: no.
inline constexpr PostfixVersion kLeavesOurReportsOut{3, 10, 4};

}  // namespace postern
