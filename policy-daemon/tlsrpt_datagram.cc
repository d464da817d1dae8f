#include "policy-daemon/tlsrpt_datagram.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <utility>

#include "common/clean_text.h"
#include "common/domain_name.h"
#include "common/ip_address.h"
#include "common/json_tree.h"
#include "common/text.h"

namespace postern {
namespace {

using Value = JsonValue;

std::string_view View(const Value& string) {
  return {string.GetString(), string.GetStringLength()};
}

enum class Type { kAny, kInt, kString, kArray };

bool Is(const Value& value, Type type) {
  switch (type) {
    case Type::kInt:
      return value.IsInt();
    case Type::kString:
      return value.IsString();
    case Type::kArray:
      return value.IsArray();
    case Type::kAny:
      break;
  }
  return true;
}

// A member of an object; Find() sets its value where it is there.
struct Member {
  std::string_view name;
  Type type;
  const Value* value = nullptr;

  explicit operator bool() const { return value != nullptr; }
  // "" where it is absent.
  std::string_view Text() const { return value ? View(*value) : ""; }
  // 0 where it is absent.
  size_t Size() const { return value ? value->Size() : 0; }
};

std::optional<PolicyType> KnownPolicyType(int number) {
  switch (number) {
    case 1:
      return PolicyType::kTlsa;
    case 2:
      return PolicyType::kSts;
    case 9:
      return PolicyType::kNoPolicyFound;
    default:
      return std::nullopt;
  }
}

std::optional<ResultType> KnownResultType(int code) {
  switch (code) {
    case 201:
      return ResultType::kStarttlsNotSupported;
    case 202:
      return ResultType::kCertificateHostMismatch;
    case 203:
      return ResultType::kCertificateNotTrusted;
    case 204:
      return ResultType::kCertificateExpired;
    case 205:
      return ResultType::kValidationFailure;
    case 301:
      return ResultType::kStsPolicyFetchError;
    case 302:
      return ResultType::kStsPolicyInvalid;
    case 303:
      return ResultType::kStsWebpkiInvalid;
    case 304:
      return ResultType::kTlsaInvalid;
    case 305:
      return ResultType::kDnssecInvalid;
    case 306:
      return ResultType::kDaneRequired;
    default:
      return std::nullopt;
  }
}

// U-labels take up to four bytes a character, and no more characters than
// A-labels.
void SetDomainOrNothing(std::string& domain, std::string_view text) {
  if (IsNormalDomain(text))  // nearly always
    domain = text;
  else if (text.size() <= 4 * kMaxDomainLength)
    domain = NormalizeDomain(text).value_or("");
  else
    domain.clear();
}

void SetAddressOrNothing(std::string& canonical, std::string_view text) {
  const auto address = IpAddress::Parse(text);
  if (!address)
    canonical.clear();
  else if (address->v6)
    canonical = address->ToString();
  else
    canonical = text;  // one that parses has no leading zeros
}

bool EndsWord(char c) { return IsBlank(c) || c == '\r' || c == '\n'; }

// Also of address literals, "[IPv6:2001:db8::1]".
bool IsHeloCharacter(char c) {
  return IsAsciiAlnum(c) || c == '-' || c == '.' || c == '_' || c == '[' ||
         c == ']' || c == ':';
}

// "250-mx.example.com Hello\r\n250-STARTTLS\r\n..." -> "mx.example.com"
std::string_view HeloName(std::string_view reply) {
  if (reply.starts_with("250") &&
      (reply.size() == 3 || reply[3] == '-' || EndsWord(reply[3])))
    reply.remove_prefix(std::min<size_t>(4, reply.size()));
  reply = TrimBlanks(reply);
  const auto end =
      std::find_if_not(reply.begin(), reply.end(), IsHeloCharacter);
  if (end != reply.end() && !EndsWord(*end)) return "";
  const auto length = static_cast<size_t>(end - reply.begin());
  return reply.substr(0, std::min(length, kMaxHeloBytes));
}

// "3 1 1  8d02 536c" -> "3 1 1 8D02536C": RFC 6698 section 2.2 allows blanks
// inside the data.
std::string TlsaSpelling(std::string_view text) {
  std::string spelling;
  spelling.reserve(text.size());
  int blanks = 0;
  bool blank = false;
  for (char c : text) {
    if (c == ' ') {
      blank = !spelling.empty();
      continue;
    }
    if (blank && blanks < 3) {
      spelling += ' ';
      ++blanks;
    }
    blank = false;
    spelling += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return spelling;
}

void MakeSet(std::vector<std::string>& strings) {
  std::sort(strings.begin(), strings.end());
  strings.erase(std::unique(strings.begin(), strings.end()), strings.end());
}

// Counts the session of `detail` with an equal one of those before it.
bool IsCountedBefore(FailureDetail& detail, std::span<FailureDetail> before) {
  for (FailureDetail& known : before) {
    detail.failed_session_count = known.failed_session_count;
    if (known != detail) continue;
    ++known.failed_session_count;
    return true;
  }
  detail.failed_session_count = 1;
  return false;
}

// The known types as they are; another is a validation failure that names it.
void SetResult(int code, std::string_view reason, FailureDetail& detail) {
  const auto type = KnownResultType(code);
  detail.result_type = type.value_or(ResultType::kValidationFailure);
  if (type) {
    CleanTextInto(detail.failure_reason_code, reason, kMaxReasonBytes);
    return;
  }
  std::string text = "code-" + std::to_string(code);
  if (!reason.empty()) text.append(": ").append(reason);
  detail.failure_reason_code = CleanText(text, kMaxReasonBytes);
}

// Brings the strings into the form that the policy's type asks for.
void SettleStrings(Outcome& outcome) {
  if (outcome.policy_type == PolicyType::kNoPolicyFound) {
    outcome.policy_string.clear();
    outcome.mx_host.clear();
  } else if (outcome.policy_type == PolicyType::kTlsa) {
    for (std::string& text : outcome.policy_string) text = TlsaSpelling(text);
    MakeSet(outcome.policy_string);
  }
}

// From the tree to outcomes. The functions return false where the datagram is
// refused, and Fault() says why.
class Reader {
 public:
  explicit Reader(WallTime at) : at_(at) {}

  DatagramFault Fault() const { return fault_; }

  bool ReadDatagram(const Value& json, std::vector<Outcome>& outcomes) {
    Member version{"dpv", Type::kAny};
    if (!Find(json, {&version})) return false;
    if (version && !(version.value->IsString() && version.Text() == "1"))
      return Refuse(DatagramFault::kForeignVersion);
    Member domain{"d", Type::kString}, record{"pr", Type::kString},
        policies{"policies", Type::kArray};
    if (!Find(json, {&domain, &record, &policies})) return false;
    if (!domain) return Refuse(DatagramFault::kWrongShape);
    const size_t count = policies.Size();
    outcomes.resize(std::clamp<size_t>(count, 1, kMaxDatagramPolicies));
    Outcome& first = outcomes.front();
    SetDomainOrNothing(first.domain, domain.Text());
    if (first.domain.empty()) return Refuse(DatagramFault::kBadDomain);
    // A cut record would name somebody else's address.
    WholeTextInto(first.record, record.Text(), kMaxRecordBytes);
    if (count == 0) return Refuse(DatagramFault::kNoPolicy);
    if (count > outcomes.size()) return Refuse(DatagramFault::kTooMany);
    for (Outcome& other : std::span(outcomes).subspan(1)) {
      other.domain = first.domain;
      other.record = first.record;
    }
    auto outcome = outcomes.begin();
    for (const Value& policy : policies.value->GetArray())
      if (!ReadPolicy(policy, *outcome++)) return false;
    return true;
  }

 private:
  bool Refuse(DatagramFault fault) {
    fault_ = fault;
    return false;
  }

  // Each member once at most, and of its type.
  bool Find(const Value& object, std::initializer_list<Member*> members) {
    if (!object.IsObject()) return Refuse(DatagramFault::kWrongShape);
    for (const auto& [key, value] : object.GetObject()) {
      const std::string_view name = View(key);
      for (Member* member : members) {
        if (member->name != name) continue;
        if (*member || !Is(value, member->type))
          return Refuse(DatagramFault::kWrongShape);
        member->value = &value;
        break;
      }
    }
    return true;
  }

  bool ReadPolicy(const Value& json, Outcome& outcome) {
    Member type{"policy-type", Type::kInt},
        domain{"policy-domain", Type::kString},
        strings{"policy-string", Type::kArray}, hosts{"mx-host", Type::kArray},
        details{"failure-details", Type::kArray}, result{"f", Type::kInt};
    if (!Find(json, {&type, &domain, &strings, &hosts, &details, &result}))
      return false;
    if (!type || !result) return Refuse(DatagramFault::kWrongShape);
    const int failed = result.value->GetInt();
    if (failed != 0 && failed != 1) return Refuse(DatagramFault::kWrongShape);

    outcome.at = at_;
    outcome.source = OutcomeSource::kPostfix;
    outcome.policy_type = KnownPolicyType(type.value->GetInt())
                              .value_or(PolicyType::kNoPolicyFound);
    SetPolicyDomain(outcome, domain.Text());
    outcome.successful = failed ? 0 : 1;
    outcome.failed = failed ? 1 : 0;
    if (!ReadStrings(strings, kMaxPolicyStringBytes, outcome.policy_string) ||
        !ReadStrings(hosts, kMaxMxHostBytes, outcome.mx_host) ||
        !ReadDetails(details, outcome.failure_details))
      return false;
    SettleStrings(outcome);
    return true;
  }

  static void SetPolicyDomain(Outcome& outcome, std::string_view text) {
    if (text.empty() || text == outcome.domain) {
      outcome.policy_domain = outcome.domain;
      return;
    }
    SetDomainOrNothing(outcome.policy_domain, text);
    if (outcome.policy_domain.empty())
      CleanTextInto(outcome.policy_domain, text, kMaxDomainLength);
  }

  bool ReadStrings(const Member& list, size_t max_bytes,
                   std::vector<std::string>& strings) {
    if (list.Size() > kMaxPolicyStrings) return Refuse(DatagramFault::kTooMany);
    strings.resize(list.Size());
    size_t bytes = 0;
    for (size_t i = 0; i < strings.size(); ++i) {
      const Value& string = (*list.value)[static_cast<unsigned>(i)];
      if (!string.IsString()) return Refuse(DatagramFault::kWrongShape);
      CleanTextInto(strings[i], View(string), max_bytes);
      bytes += strings[i].size();
    }
    return bytes <= kMaxPolicyStringsBytes || Refuse(DatagramFault::kTooMany);
  }

  bool ReadDetails(const Member& list, std::vector<FailureDetail>& details) {
    if (list.Size() > kMaxDatagramDetails)
      return Refuse(DatagramFault::kTooMany);
    details.resize(list.Size());
    size_t distinct = 0;
    for (size_t i = 0; i < list.Size(); ++i) {
      FailureDetail& detail = details[distinct];
      if (!ReadDetail((*list.value)[static_cast<unsigned>(i)], detail))
        return false;
      if (!IsCountedBefore(detail, std::span(details).first(distinct)))
        ++distinct;
    }
    details.resize(distinct);
    return true;
  }

  bool ReadDetail(const Value& json, FailureDetail& detail) {
    Member code{"c", Type::kInt}, sender{"s", Type::kString},
        host{"n", Type::kString}, helo{"h", Type::kString},
        receiver{"r", Type::kString}, information{"a", Type::kString},
        reason{"f", Type::kString};
    if (!Find(json,
              {&code, &sender, &host, &helo, &receiver, &information, &reason}))
      return false;
    if (!code) return Refuse(DatagramFault::kWrongShape);
    SetAddressOrNothing(detail.sending_mta_ip, sender.Text());
    SetDomainOrNothing(detail.receiving_mx_hostname, host.Text());
    detail.receiving_mx_helo = HeloName(helo.Text());
    SetAddressOrNothing(detail.receiving_ip, receiver.Text());
    CleanTextInto(detail.additional_information, information.Text(),
                  kMaxInformationBytes);
    SetResult(code.value->GetInt(), reason.Text(), detail);
    return true;
  }

  const WallTime at_;
  DatagramFault fault_ = DatagramFault::kWrongShape;
};

// Enough for the tree of all but the largest datagrams.
constexpr size_t kPoolBytes = 16 * 1024;
constexpr size_t kUsualBytes = 4096;

}  // namespace

const char* DatagramFaultName(DatagramFault fault) {
  static constexpr std::array<const char*, kDatagramFaults> kNames = {
      "empty",           "too-long",   "not-json",  "wrong-shape",
      "foreign-version", "bad-domain", "no-policy", "too-many"};
  return kNames[static_cast<size_t>(fault)];
}

DatagramParser::DatagramParser()
    : text_(kMaxDatagramBytes + kAfterJson), pool_(kPoolBytes) {}

DatagramResult DatagramParser::Parse(std::string_view datagram, WallTime at) {
  if (datagram.empty()) return DatagramFault::kEmpty;
  if (datagram.size() > kMaxDatagramBytes) return DatagramFault::kTooLong;
  std::fill_n(std::copy(datagram.begin(), datagram.end(), text_.begin()),
              kAfterJson, '\0');
  JsonPool pool(pool_.data(), pool_.size());
  ShallowJson tree(pool);
  if (!tree.Read(text_.data(), datagram.size())) return DatagramFault::kNotJson;
  // What a large one has left would be kept for ever.
  if (std::exchange(is_large_, datagram.size() > kUsualBytes)) outcomes_ = {};
  Reader reader(at);
  if (!reader.ReadDatagram(tree, outcomes_)) return reader.Fault();
  return outcomes_;
}

}  // namespace postern
