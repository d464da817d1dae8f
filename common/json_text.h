// Strings in JSON, as we write them: in the spool and in reports.
#pragma once

#include <string>
#include <string_view>

namespace postern {

// Appends `text` in quotes, as printable ASCII: what is not plain is escaped,
// bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace postern
