#include "report-sender/tlsrpt_record.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/domain_name.h"
#include "common/tag_list.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr std::string_view kVersionField = "v=TLSRPTv1";
constexpr size_t kMaxProblems = 10;
constexpr size_t kMaxUriBytes = 2000;
// RFC 5321 section 4.5.3.1: the local part; the path, without its "<>".
constexpr size_t kMaxLocalPart = 64;
constexpr size_t kMaxAddress = 254;
constexpr uint64_t kMaxPort = 65535;

bool IsIn(std::string_view set, char c) {
  return set.find(c) != std::string_view::npos;
}

// RFC 3986 section 2.
bool IsUriCharacter(char c) {
  return IsAsciiAlnum(c) || IsIn("-._~:/?#[]@!$&'()*+,;=%", c);
}

bool IsControl(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

int HexDigit(char c) {
  if (IsAsciiDigit(c)) return c - '0';
  c = AsciiLower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// nullopt: a "%" that two hexadecimal digits do not follow.
std::optional<std::string> DecodePercent(std::string_view text) {
  std::string decoded;
  for (; !text.empty(); text.remove_prefix(1)) {
    if (text.front() != '%') {
      decoded += text.front();
      continue;
    }
    if (text.size() < 3) return std::nullopt;
    const int high = HexDigit(text[1]);
    const int low = HexDigit(text[2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high << 4 | low);
    text.remove_prefix(2);
  }
  return decoded;
}

Error BadPercent() {
  return Error{"a '%' without two hexadecimal digits behind it"};
}

// Of a domain that others can find: in normal form, at least two labels.
std::optional<std::string> QualifiedDomain(std::string_view name) {
  auto domain = NormalizeDomain(name);
  if (domain && domain->find('.') == std::string::npos) return std::nullopt;
  return domain;
}

// RFC 5321 section 4.1.2 (Atom), without what relays take for a route (a!b,
// a%b@c) and what some delivery agents take for a command.
bool IsLocalCharacter(char c) {
  return IsAsciiAlnum(c) || IsIn("#$&'*+-/=?^_`{}~", c);
}

// What is wrong with it, or "".
std::string LocalPartProblem(std::string_view local) {
  if (local.empty()) return "nothing before the '@'";
  if (local.size() > kMaxLocalPart)
    return "more than 64 characters before the '@'";
  if (local.front() == '"') return "a quoted local part";
  if (local.front() == '-') return "a '-' at its start, as of an option";
  if (IsIn(".", local.front()) || IsIn(".", local.back()) ||
      local.find("..") != std::string_view::npos)
    return "a '.' at its start or end, or two in a row";
  for (char c : local) {
    if (IsControl(c)) return "a control character";
    if (c != '.' && !IsLocalCharacter(c))
      return "'" + Printable({&c, 1}) + "' in its local part";
  }
  return "";
}

Result<Destination> ParseMailto(std::string_view path) {
  if (IsIn(path, '?')) return Error{"mail headers ('?')"};
  // RFC 8460 section 3: "," "!" ";" are percent-encoded; RFC 6068 more.
  const auto decoded = DecodePercent(path);
  if (!decoded) return BadPercent();
  const size_t at = decoded->rfind('@');
  if (at == std::string::npos) return Error{"no '@': a local name"};
  const std::string local = decoded->substr(0, at);
  const std::string problem = LocalPartProblem(local);
  if (!problem.empty()) return Error{problem};
  const std::string_view host = std::string_view(*decoded).substr(at + 1);
  if (host.starts_with('[')) return Error{"an IP address instead of a domain"};
  const auto domain = QualifiedDomain(host);
  if (!domain) return Error{"no fully qualified domain behind the '@'"};
  MailAddress mail{local + "@" + *domain};
  if (mail.address.size() > kMaxAddress)
    return Error{"more than 254 characters"};
  return Destination(std::move(mail));
}

Result<Destination> ParseHttps(std::string_view rest) {
  if (!rest.starts_with("//")) return Error{"no '//host'"};
  rest.remove_prefix(2);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  const std::string_view target = rest.substr(end);
  if (IsIn(authority, '@')) return Error{"a user name or password"};
  if (IsIn(target, '#')) return Error{"a fragment ('#')"};
  // RFC 8460 section 3. In DMARC's records, "!10m" is no part of the URI.
  if (IsIn(target, '!')) return Error{"a '!' that is not percent-encoded"};
  const auto decoded = DecodePercent(target);
  if (!decoded) return BadPercent();
  if (std::any_of(decoded->begin(), decoded->end(), IsControl))
    return Error{"a control character"};
  HttpsUrl url;
  const size_t colon = std::min(authority.rfind(':'), authority.size());
  const std::string_view port_part = authority.substr(colon);
  const auto host = QualifiedDomain(authority.substr(0, colon));
  if (!host) return Error{"a host that is no fully qualified domain"};
  url.host = *host;
  if (!port_part.empty()) {
    const auto port = ParseUint(port_part.substr(1), kMaxPort);
    if (!port || *port == 0) return Error{"no port behind the ':'"};
    url.port = static_cast<uint16_t>(*port);
  }
  if (target.starts_with('/')) url.target.clear();
  url.target += target;
  return Destination(std::move(url));
}

Result<Destination> ParseByScheme(std::string_view uri) {
  if (uri.size() > kMaxUriBytes) return Error{"more than 2000 characters"};
  const size_t colon = uri.find(':');
  if (colon == std::string_view::npos) return Error{"no scheme"};
  if (!std::all_of(uri.begin(), uri.end(), IsUriCharacter))
    return Error{"a character that no URI has"};
  // RFC 3986 section 3.1: in any case.
  const std::string scheme = ToLowerAscii(uri.substr(0, colon));
  const std::string_view rest = uri.substr(colon + 1);
  if (scheme == "mailto") return ParseMailto(rest);
  if (scheme == "https") return ParseHttps(rest);
  return Error{"a scheme that is neither mailto nor https"};
}

void AddProblem(TlsrptRecord& record, std::string problem) {
  if (record.problems.size() < kMaxProblems)
    record.problems.push_back(std::move(problem));
}

void AddDestination(TlsrptRecord& record, std::string_view uri) {
  auto parsed = ParseDestination(uri);
  if (!parsed) return AddProblem(record, parsed.error().message);
  auto& all = record.destinations;
  if (std::find(all.begin(), all.end(), *parsed) != all.end()) return;
  if (all.size() < kMaxDestinations) return all.push_back(std::move(*parsed));
  AddProblem(record, "'" + DestinationUri(*parsed) +
                         "' is not used: 10 others stand before it");
}

TlsrptRecord None(std::string problem) { return {{}, {std::move(problem)}}; }

TlsrptRecord ParseOne(std::string_view text) {
  const auto tags = ParseTagList(text);
  if (!tags) return None("the record is not a list of name=value fields");
  TlsrptRecord record;
  bool any = false;
  for (const Tag& tag : *tags) {
    if (tag.name != "rua") continue;
    any = true;
    for (std::string_view uri : SplitList(tag.value, ",")) {
      uri = TrimBlanks(uri);
      if (!uri.empty()) AddDestination(record, uri);
    }
  }
  if (!any) return None("the record has no rua");
  return record;
}

}  // namespace

Result<Destination> ParseDestination(std::string_view uri) {
  auto parsed = ParseByScheme(uri);
  if (parsed) return parsed;
  return Error{"'" + Printable(uri) + "' is not used: it has " +
               parsed.error().message};
}

std::string DestinationUri(const Destination& destination) {
  if (const auto* url = std::get_if<HttpsUrl>(&destination)) {
    const std::string port =
        url->port == HttpsUrl().port ? "" : ":" + std::to_string(url->port);
    return "https://" + url->host + port + url->target;
  }
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string uri = "mailto:";
  for (char c : std::get<MailAddress>(destination).address) {
    if (IsAsciiAlnum(c) || IsIn("-._~+=@", c))
      uri += c;
    else
      uri += {'%', kHex[c >> 4], kHex[c & 15]};
  }
  return uri;
}

TlsrptRecord ParseTlsrptRecords(const std::vector<std::string>& records) {
  std::vector<std::string_view> ours;
  for (const std::string& record : records)
    if (HasVersion(record, kVersionField)) ours.push_back(record);
  if (ours.empty()) return {};
  // RFC 8460 section 3: unless it is one, the domain does not take part.
  if (ours.size() > 1)
    return None("there are " + std::to_string(ours.size()) +
                " TLSRPT records instead of one");
  return ParseOne(ours.front());
}

}  // namespace postern
