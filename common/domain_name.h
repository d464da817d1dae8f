// Host and domain names as mail uses them.
//
// One form inside the program: A-labels, lower case, no trailing dot. Names
// come from Postfix (any case, a trailing dot, U-labels with SMTPUTF8) and
// from DNS; whatever cannot be brought into that form is not looked up.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern {

inline constexpr size_t kMaxDomainLength = 253;  // RFC 1035 section 3.1
inline constexpr size_t kMaxLabelLength = 63;

// True for a name already in the inside form: labels of letters (lower case),
// digits, '-' and '_' (Postfix takes underscores), no '-' at a label's end,
// the last label not all digits (that is an address, not a name).
bool IsNormalDomain(std::string_view name);

// The inside form of `name`, or nullopt where it has none. Letters fold to
// lower case, one trailing dot goes, U-labels become A-labels (IDNA 2008).
std::optional<std::string> NormalizeDomain(std::string_view name);

}  // namespace postern
