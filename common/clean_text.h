// Text of strangers, made fit for a report: I-JSON (RFC 7493 section 2.1) asks
// for UTF-8 without noncharacters, people who read it for no control
// characters.
#pragma once

#include <string>
#include <string_view>

namespace postern {

// The text with each byte that is not UTF-8 and each noncharacter as U+FFFD,
// each control character (C0, DEL, C1) as a blank, cut between two characters
// to at most `max_bytes`.
std::string CleanText(std::string_view text, size_t max_bytes);
// The same, into a string that has room from what it was before.
void CleanTextInto(std::string& clean, std::string_view text, size_t max_bytes);

// The same, or "" where it is longer: of what must not be cut.
void WholeTextInto(std::string& clean, std::string_view text, size_t max_bytes);

}  // namespace postern
