// gzip (RFC 1952), as reports are compressed (RFC 8460 section 5.2).
#pragma once

#include <string>
#include <string_view>

namespace postern {

// One member without a name or a time: the same text gives the same bytes.
std::string Gzip(std::string_view text);

}  // namespace postern
