// What a report may tell strangers of us: no address from inside our network,
// no resolver of ours, no file.
//
// A spool may hold them: Postfix behind NAT tells of the address that it sends
// from, and a reason may quote what one of our programs said. A report goes to
// whoever asks for it, so they are taken out on its way, whoever wrote them.
//
// Pure.
#pragma once

#include <string>
#include <string_view>

namespace postern {

// In the form of RFC 5952; "" for what is no address, or none of the internet
// (RFC 8460 section 4.4 lets it be left out). Addresses of documentation are
// nobody's, and stay.
std::string AddressForReport(std::string_view text);

// A reason with each such address, each of our resolvers and each path of a
// file replaced by a word for it.
std::string ReasonForReport(std::string_view text);

}  // namespace postern
