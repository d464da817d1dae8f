#include "policy-daemon/overrides.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "common/domain_name.h"
#include "common/text.h"

#include "policy-daemon/postfix_reply.h"
#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

using Words = std::vector<std::string_view>;

constexpr char kSettings[] =
    "off, plaintext, may, encrypt, dane, dane-only, verify, secure, "
    "fingerprint, sts-off or dane-off";

// Which attributes Postfix takes at a level.
enum Attributes : unsigned {
  kNoAttributes = 0,
  kForAnyTls = 1,       // may, encrypt, dane, dane-only
  kForNames = 2,        // verify, secure
  kForFingerprint = 4,  // fingerprint
  kForAll = kForAnyTls | kForNames | kForFingerprint,
};

using Demand = AnsweredPolicy::Demand;

struct Level {
  std::string_view word;
  std::string_view in_reply;
  Attributes attributes;
  Demand demand = Demand::kNothing;
  PolicyType policy_type = PolicyType::kNoPolicyFound;
};
constexpr std::array<Level, 8> kLevels = {{
    // Not "none", which could be read as "no override".
    {"plaintext", "none", kNoAttributes},
    {"may", "may", kForAnyTls},
    {"encrypt", "encrypt", kForAnyTls},
    {"dane", "dane", kForAnyTls, Demand::kDane},
    {"dane-only", "dane-only", kForAnyTls, Demand::kAuthentication,
     PolicyType::kTlsa},
    {"verify", "verify", kForNames, Demand::kAuthentication},
    {"secure", "secure", kForNames, Demand::kAuthentication},
    {"fingerprint", "fingerprint", kForFingerprint, Demand::kAuthentication},
}};

template <size_t N>
bool IsOneOf(std::string_view text, const std::string_view (&known)[N]) {
  return std::find(std::begin(known), std::end(known), text) != std::end(known);
}

bool IsHostName(std::string_view text) {
  return IsNormalDomain(ToLowerAscii(text));
}

// Postfix's strategies (hostname, nexthop, dot-nexthop) look like names.
bool IsMatchName(std::string_view text) {
  if (text.starts_with('.')) text.remove_prefix(1);
  return IsHostName(text);
}

bool IsHexDigit(char c) {
  return IsAsciiDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Colons are a must: before 3.6 Postfix compares texts. A digest of another
// length than MD5's, SHA-1's or those of SHA-2 would match nothing.
bool IsFingerprint(std::string_view text) {
  static constexpr std::array<size_t, 6> kBytes = {16, 20, 28, 32, 48, 64};
  const size_t bytes = (text.size() + 1) / 3;
  if (text.size() + 1 != 3 * bytes) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i % 3 == 2 ? text[i] != ':' : !IsHexDigit(text[i])) return false;
  }
  return std::find(kBytes.begin(), kBytes.end(), bytes) != kBytes.end();
}

// "TLSv1.2", "!TLSv1", and from Postfix 3.6 ">=TLSv1.2", "<=TLSv1.2".
bool IsProtocol(std::string_view text) {
  static constexpr std::string_view kVersions[] = {"SSLv3", "TLSv1", "TLSv1.1",
                                                   "TLSv1.2", "TLSv1.3"};
  const bool is_limit = text.starts_with(">=") || text.starts_with("<=");
  if (is_limit)
    text.remove_prefix(2);
  else if (text.starts_with('!'))
    text.remove_prefix(1);
  return IsOneOf(text, kVersions) || (text == "SSLv2" && !is_limit);
}

bool IsCipherName(std::string_view text) {
  // OpenSSL would read these in front as operators.
  if (text.empty() || text.front() == '+' || text.front() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return IsAsciiAlnum(c) || c == '-' || c == '_' || c == '+';
  });
}

// False for an empty part, too: no `fits` takes one.
bool IsList(std::string_view value, char separator,
            bool (*fits)(std::string_view)) {
  for (;;) {
    const size_t end = value.find(separator);
    if (!fits(value.substr(0, end))) return false;
    if (end == std::string_view::npos) return true;
    value.remove_prefix(end + 1);
  }
}

bool IsMatchNames(std::string_view value) {
  return IsList(value, ':', IsMatchName);
}
bool IsFingerprints(std::string_view value) {
  return IsList(value, '|', IsFingerprint);
}
bool IsProtocols(std::string_view value) {
  return IsList(value, ':', IsProtocol);
}
bool IsExclude(std::string_view value) {
  return IsList(value, ':', IsCipherName);
}
bool IsCipherGrade(std::string_view value) {
  static constexpr std::string_view kGrades[] = {"high", "medium", "low",
                                                 "export", "null"};
  return IsOneOf(value, kGrades);
}
bool IsYesOrNo(std::string_view value) {
  return value == "yes" || value == "no";
}
bool IsNotEmpty(std::string_view value) { return !value.empty(); }

struct Attribute {
  std::string_view name;
  Attributes levels;
  bool (*fits)(std::string_view value);
  std::string_view expected;
};
constexpr std::array<Attribute, 8> kAttributes = {{
    {"match", kForNames, IsMatchNames,
     "names, .names, hostname, nexthop or dot-nexthop, joined by ':'"},
    {"match", kForFingerprint, IsFingerprints,
     "digests such as AA:BB:... in full, joined by '|'"},
    {"servername", kForAll, IsHostName, "a host name, hostname or nexthop"},
    {"protocols", kForAll, IsProtocols,
     "versions such as TLSv1.2, !TLSv1 or >=TLSv1.2, joined by ':'"},
    {"ciphers", kForAll, IsCipherGrade, "high, medium, low, export or null"},
    {"exclude", kForAll, IsExclude, "names of ciphers, joined by ':'"},
    {"tafile", kForNames, IsNotEmpty, "a file name"},
    {"connection_reuse", kForAll, IsYesOrNo, "yes or no"},
}};

std::string Quoted(std::string_view text) {
  return "'" + Printable(text, 100) + "'";
}

const Level* FindLevel(std::string_view word) {
  for (const Level& level : kLevels)
    if (level.word == word) return &level;
  return nullptr;
}

const Attribute* FindAttribute(std::string_view name, const Level& level) {
  for (const Attribute& attribute : kAttributes)
    if (attribute.name == name && (attribute.levels & level.attributes))
      return &attribute;
  return nullptr;
}

std::string AttributesOf(const Level& level) {
  std::string names;
  for (const Attribute& attribute : kAttributes) {
    if (!(attribute.levels & level.attributes)) continue;
    if (!names.empty()) names += ", ";
    names += attribute.name;
  }
  return names.empty() ? "nothing" : names;
}

// Whatever an attribute's own rule lets through: a reply holds no byte that
// Postfix could take for syntax.
bool IsSafeInReply(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c <= '~' && c != ',' && c != '{' && c != '}';
  });
}

// `words`: the attributes behind the level.
Result<Override> ParseLevel(const Level& level, const Words& words) {
  std::string reply = "OK " + std::string(level.in_reply);
  std::vector<const Attribute*> seen;
  for (std::string_view word : words) {
    const size_t equals = std::min(word.find('='), word.size());
    const std::string name = ToLowerAscii(word.substr(0, equals));
    const Attribute* attribute = FindAttribute(name, level);
    if (!attribute || equals == word.size())
      return Error{Quoted(word) + " does not go with " +
                   std::string(level.word) + "; expected " +
                   AttributesOf(level) +
                   (level.attributes ? ", each with =VALUE" : "")};
    const std::string expected(attribute->expected);
    if (std::find(seen.begin(), seen.end(), attribute) != seen.end())
      return Error{name + " is given twice; expected it once: " + expected};
    seen.push_back(attribute);
    const std::string_view value = word.substr(equals + 1);
    if (!IsSafeInReply(value))
      return Error{Quoted(word) +
                   " holds what Postfix cannot read there; expected printable "
                   "ASCII without ',', '{' and '}'"};
    if (!attribute->fits(value))
      return Error{Quoted(word) + " does not fit; expected " + name + "= and " +
                   expected};
    reply += " " + name + "=" + std::string(value);
  }
  const Attribute* match = FindAttribute("match", level);
  if (level.attributes == kForFingerprint &&
      std::find(seen.begin(), seen.end(), match) == seen.end())
    return Error{"fingerprint stands without digests; expected match= and " +
                 std::string(match->expected)};
  Override made;
  made.reply = EncodeNetstring(reply);
  made.demand = level.demand;
  made.policy_type = level.policy_type;
  return made;
}

// "sts-off", "dane-off" or both.
Result<Override> ParseSwitches(const Words& words) {
  Override made;
  for (std::string_view word : words) {
    const std::string name = ToLowerAscii(word);
    bool* const off = name == "sts-off"    ? &made.sts_off
                      : name == "dane-off" ? &made.dane_off
                                           : nullptr;
    if (!off)
      return Error{Quoted(word) + " does not go with " +
                   ToLowerAscii(words.front()) +
                   "; expected sts-off, dane-off or both"};
    if (std::exchange(*off, true))
      return Error{name + " is given twice; expected it once"};
  }
  return made;
}

// `words`: what stands behind the destination; not empty.
Result<Override> ParseSettings(Words words) {
  const std::string first = ToLowerAscii(words.front());
  if (first == "sts-off" || first == "dane-off") return ParseSwitches(words);
  const Level* level = FindLevel(first);
  if (!level && first != "off")
    return Error{Quoted(words.front()) + " is no setting; expected " +
                 kSettings};
  words.erase(words.begin());
  if (level) return ParseLevel(*level, words);
  if (!words.empty())
    return Error{Quoted(words.front()) +
                 " does not go with off; expected nothing"};
  Override made;
  made.reply = EncodeNetstring(kNotFoundReply);
  made.kind = ReplyKind::kNotFound;
  return made;
}

// The spelling under which a line is found: that of a key, or ".parent".
std::optional<std::string> NormalDestination(std::string_view text,
                                             const ServicePorts& services) {
  if (text.starts_with('.')) {
    const auto parent = NormalizeDomain(text.substr(1));
    if (!parent) return std::nullopt;
    return "." + *parent;
  }
  const auto key = ParsePolicyKey(text, services);
  if (!key) return std::nullopt;
  return key->ToString();
}

Words SplitWords(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  Words words = SplitList(line, " \t");
  const auto comment =
      std::find_if(words.begin(), words.end(),
                   [](std::string_view word) { return word.front() == '#'; });
  words.erase(comment, words.end());
  return words;
}

struct Line {
  std::string destination;  // "": a line that says nothing
  Override what;
};

Result<Line> ParseLine(std::string_view text, const ServicePorts& services) {
  if (text.size() > kMaxOverridesLine)
    return Error{"the line is too long; expected at most " +
                 std::to_string(kMaxOverridesLine) + " bytes"};
  Words words = SplitWords(text);
  if (words.empty()) return Line{};
  const auto destination = NormalDestination(words.front(), services);
  if (!destination)
    return Error{Quoted(words.front()) +
                 " is no destination; expected example.com, example.com:587, "
                 "[mx.example.com]:587 or .example.com"};
  words.erase(words.begin());
  if (words.empty())
    return Error{*destination + " stands alone; expected behind it " +
                 kSettings};
  auto what = ParseSettings(std::move(words));
  if (!what) return what.error();
  return Line{*destination, std::move(*what)};
}

// ":587", as PolicyKey::ToString() writes it: never with port 25.
bool IsNormalPort(std::string_view text) {
  if (!text.starts_with(':') || text.starts_with(":0")) return false;
  const auto port = ParseUint(text.substr(1), 65535);
  return port && *port != kSmtpPort;
}

// The domain of a key in the spelling of PolicyKey::ToString(), or "" for any
// other text: ParsePolicyKey() without its allocations.
std::string_view DomainOf(std::string_view key) {
  std::string_view domain = key;
  std::string_view port;
  if (key.starts_with('[')) {
    const size_t close = key.find(']');
    if (close == std::string_view::npos) return {};
    domain = key.substr(1, close - 1);
    port = key.substr(close + 1);
  } else if (const size_t colon = key.find(':');
             colon != std::string_view::npos) {
    domain = key.substr(0, colon);
    port = key.substr(colon);
    if (domain == "unix" || domain == "inet") return {};
  }
  if (!port.empty() && !IsNormalPort(port)) return {};
  return IsNormalDomain(domain) ? domain : std::string_view();
}

}  // namespace

Result<Overrides> Overrides::Parse(std::string_view text,
                                   const std::string& file,
                                   const ServicePorts& services) {
  const std::string where = Printable(file, 1000) + ":";
  if (text.size() > kMaxOverridesBytes)
    return Error{where + " the file is too large; expected at most " +
                 std::to_string(kMaxOverridesBytes) + " bytes"};
  Overrides overrides;
  for (uint32_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const Status added =
        overrides.AddLine(text.substr(0, end), number, services);
    if (!added)
      return Error{where + std::to_string(number) + ": " +
                   added.error().message};
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return overrides;
}

Status Overrides::AddLine(std::string_view text, uint32_t number,
                          const ServicePorts& services) {
  auto line = ParseLine(text, services);
  if (!line) return line.error();
  if (line->destination.empty()) return Done();
  line->what.line = number;
  const auto [entry, is_new] =
      lines_.try_emplace(line->destination, std::move(line->what));
  if (!is_new)
    return Error{line->destination + " stands in line " +
                 std::to_string(entry->second.line) +
                 " already; expected one line for it"};
  if (line->destination.starts_with('.')) has_parents_ = true;
  return Done();
}

const Override* Overrides::FindLine(std::string_view name) const {
  const auto found = lines_.find(name);
  return found == lines_.end() ? nullptr : &found->second;
}

const Override* Overrides::Find(std::string_view key) const {
  // A parent key is never answered by the parent's own line.
  if (lines_.empty() || key.starts_with('.')) return nullptr;
  if (const Override* own = FindLine(key)) return own;
  const std::string_view domain = DomainOf(key);
  if (domain.empty()) return nullptr;
  if (domain.size() < key.size()) {
    if (const Override* plain = FindLine(domain)) return plain;
  }
  if (!has_parents_) return nullptr;
  for (size_t dot = domain.find('.'); dot != std::string_view::npos;
       dot = domain.find('.', dot + 1)) {
    if (const Override* parent = FindLine(domain.substr(dot))) return parent;
  }
  return nullptr;
}

Result<Overrides> LoadOverrides(const std::string& path,
                                const ServicePorts& services) {
  if (path.empty()) return Overrides();
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 65536> part;
  // One part over the limit is enough for Parse() to say so.
  while (file && text.size() <= kMaxOverridesBytes) {
    file.read(part.data(), part.size());
    text.append(part.data(), static_cast<size_t>(file.gcount()));
  }
  // A folder can be opened, but not read.
  if (!file.is_open() || file.bad())
    return Error{"cannot read the overrides file " + Printable(path, 1000) +
                 "; check its name and mode"};
  return Overrides::Parse(text, path, services);
}

}  // namespace postern
