// "v=STSv1; id=20260101;": the record syntax of MTA-STS and TLSRPT
// (RFC 8461 section 3.1, RFC 8460 section 3).
//
// Fields are separated by ";" with blanks around it; one may follow the last.
// The values' own grammar is the caller's.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace postern {

struct Tag {
  std::string_view name;
  std::string_view value;
};

// True where the record begins with exactly this version field, "v=STSv1",
// followed by its delimiter. Other records are none of ours.
bool HasVersion(std::string_view record, std::string_view version_field);

// The fields in order, the version first; views into `record`. nullopt where
// the record is malformed: no "=", an empty field, a bad name, no value.
std::optional<std::vector<Tag>> ParseTagList(std::string_view record);

}  // namespace postern
