#include "report-sender/dkim_record.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "common/text.h"

namespace postern {
namespace {

using Tags = std::map<std::string, std::string>;

// RFC 6376 section 3.2. Blanks in values (p=) mean nothing here.
Tags TagsOf(std::string_view record) {
  Tags tags;
  for (const std::string_view field : SplitList(record, ";")) {
    const size_t equals = field.find('=');
    if (equals == field.npos) continue;
    std::string value;
    for (const char c : field.substr(equals + 1))
      if (!IsBlank(c) && c != '\r' && c != '\n') value += c;
    tags.emplace(TrimBlanks(field.substr(0, equals)), std::move(value));
  }
  return tags;
}

// Of a list "a:b", absent lists being "everything".
bool Allows(const Tags& tags, const char* name, std::string_view value) {
  const auto list = tags.find(name);
  if (list == tags.end()) return true;
  const auto values = SplitList(list->second, ":");
  return std::any_of(values.begin(), values.end(), [&](std::string_view one) {
    return one == value || (one == "*" && *name == 's');
  });
}

std::string ValueOr(const Tags& tags, const char* name, const char* absent) {
  const auto found = tags.find(name);
  return found == tags.end() ? absent : found->second;
}

}  // namespace

std::string DkimRecordProblem(const std::vector<std::string>& records,
                              const DkimKey& key) {
  if (records.empty()) return "there is no such record";
  if (records.size() > 1) return "there are several records instead of one";
  const Tags tags = TagsOf(records.front());
  const Tags ours = TagsOf(key.DnsRecord());
  if (ValueOr(tags, "v", "DKIM1") != "DKIM1") return "it is no DKIM1 record";
  const std::string published = ValueOr(tags, "p", "");
  if (published.empty()) return "the key is revoked (p= is empty)";
  if (ValueOr(tags, "k", "rsa") != ours.at("k"))
    return "it is a key of another kind (k=)";
  if (published != ours.at("p"))
    return "it is the public half of another key (p=)";
  if (!Allows(tags, "h", "sha256")) return "it does not allow sha256 (h=)";
  // RFC 8460 section 3, and RFC 6376 section 3.6.1: absent means all.
  if (!Allows(tags, "s", "tlsrpt"))
    return "it does not allow the service tlsrpt (s=)";
  return "";
}

}  // namespace postern
