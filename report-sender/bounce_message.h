// A mail that came back: what a delivery status notification (RFC 3464) says of
// a report of ours.
//
// Anybody can send us one, so nothing in it is believed by itself: the caller
// looks for a delivery of ours with its Message-ID and recipient.
//
// Pure. Takes any bytes; of a mail too large or too rich, what is within the
// bounds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace postern {

// Of a mail, so much is looked at. (A returned report may follow, and does not
// matter: its head comes first.)
inline constexpr size_t kMaxBounceBytes = 1 << 20;

struct Bounce {
  std::string message_id;  // of the mail that came back, without < and >
  struct Failure {
    std::string final_recipient;  // "tls@example.com"; "": not said
    std::string original_recipient;
    std::string status;  // "5.1.1"
  };
  // Recipients that will never be reached: class 5. At least one.
  std::vector<Failure> failures;
};

// The Error says why it is no bounce that counts.
Result<Bounce> ParseBounce(std::string_view mail);

}  // namespace postern
