#include "report-sender/suppressions.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "common/domain_name.h"
#include "common/text.h"

namespace postern {
namespace {

// In the form in which it is looked for; nullopt: it is none.
std::optional<std::string> NormalEntry(std::string_view word) {
  const size_t at = word.find('@');
  const auto domain =
      NormalizeDomain(word.substr(at == word.npos ? 0 : at + 1));
  if (!domain) return std::nullopt;
  if (at == word.npos) return domain;
  // As receivers do, the case of the local part is ignored.
  return ToLowerAscii(word.substr(0, at + 1)) + *domain;
}

}  // namespace

Result<Suppressions> Suppressions::Parse(std::string_view text,
                                         const std::string& name) {
  Suppressions suppressions;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    const auto words = SplitList(line, " \t\r");
    if (words.empty()) continue;
    const auto fail = [&](const std::string& why) {
      return Error{name + ":" + std::to_string(number) + ": " + why};
    };
    const auto what = NormalEntry(words[0]);
    if (!what)
      return fail("'" + Printable(words[0]) +
                  "' is neither a domain nor an address");
    std::optional<Day> until;
    if (words.size() == 1)
      until = Day::max();
    else if (words.size() == 3 && words[1] == "until")
      until = ParseDay(words[2]);
    if (!until)
      return fail(
          "expected nothing more, or 'until' and a day such as 2027-01-31");
    Day& last = suppressions.entries_.try_emplace(*what, *until).first->second;
    last = std::max(last, *until);
  }
  return suppressions;
}

bool Suppressions::Has(std::string_view what, Day today) const {
  const auto found = entries_.find(what);
  return found != entries_.end() && today <= found->second;
}

bool Suppressions::HasDomain(std::string_view domain, Day today) const {
  return Has(domain, today);
}

bool Suppressions::HasDestination(const Destination& destination,
                                  Day today) const {
  if (const auto* url = std::get_if<HttpsUrl>(&destination))
    return Has("@" + url->host, today);
  const std::string address =
      ToLowerAscii(std::get<MailAddress>(destination).address);
  return Has(address, today) || Has(address.substr(address.rfind('@')), today);
}

Result<Suppressions> LoadSuppressions(const std::string& path) {
  if (path.empty()) return Suppressions();
  std::ifstream file(path);
  std::stringstream text;
  // (An empty file puts nothing into `text`, one that cannot be read neither.)
  if (!file || !(text << file.rdbuf() || file.peek() == EOF) || file.bad())
    return Error{"cannot read " + path + ": " + std::strerror(errno) +
                 "; check report.suppress"};
  return Suppressions::Parse(text.str(), path);
}

}  // namespace postern
