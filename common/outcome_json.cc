#include "common/outcome_json.h"

#include <algorithm>
#include <charconv>

#include "common/domain_name.h"
#include "common/json_text.h"
#include "common/json_tree.h"
#include "common/text.h"
#include "common/utc.h"

namespace postern {
namespace {

// --- writing ---

// `name` with what stands around it: ,"domain":
void Append(std::string_view name, std::string_view value, std::string& out) {
  out += name;
  AppendJsonString(value, out);
}

void AppendIfKnown(std::string_view name, const std::string& value,
                   std::string& out) {
  if (!value.empty()) Append(name, value, out);
}

void AppendIfKnown(std::string_view name,
                   const std::vector<std::string>& values, std::string& out) {
  if (values.empty()) return;
  out += name;
  char before = '[';
  for (const std::string& value : values) {
    out += before;
    AppendJsonString(value, out);
    before = ',';
  }
  out += ']';
}

void Append(std::string_view name, uint64_t sessions, std::string& out) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits,
                                 std::min(sessions, kMaxSessions));
  out += name;
  out.append(digits, end.ptr);
}

void AppendDetail(const FailureDetail& detail, std::string& out) {
  Append(R"({"result-type":)", ResultTypeName(detail.result_type), out);
  AppendIfKnown(R"(,"sending-mta-ip":)", detail.sending_mta_ip, out);
  AppendIfKnown(R"(,"receiving-mx-hostname":)", detail.receiving_mx_hostname,
                out);
  AppendIfKnown(R"(,"receiving-mx-helo":)", detail.receiving_mx_helo, out);
  AppendIfKnown(R"(,"receiving-ip":)", detail.receiving_ip, out);
  Append(R"(,"failed-session-count":)", detail.failed_session_count, out);
  AppendIfKnown(R"(,"additional-information":)", detail.additional_information,
                out);
  AppendIfKnown(R"(,"failure-reason-code":)", detail.failure_reason_code, out);
  out += '}';
}

// --- reading ---

using Value = JsonValue;

// nullptr: the object has no such member.
const Value* Member(const Value& object, const char* name) {
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() ? nullptr : &found->value;
}

// All Read() are false where the value is not of the format. Strings and lists
// of them may be left out.
bool Read(const Value* value, std::string& out) {
  if (!value) return true;
  if (!value->IsString()) return false;
  out.assign(value->GetString(), value->GetStringLength());
  // The parser lets half a surrogate pair through.
  return IsUtf8(out);
}

bool Read(const Value* value, uint64_t& out) {
  if (!value || !value->IsUint64()) return false;
  out = value->GetUint64();
  return out <= kMaxSessions;
}

bool Read(const Value* value, std::vector<std::string>& out) {
  if (!value) return true;
  if (!value->IsArray()) return false;
  for (const Value& one : value->GetArray())
    if (!Read(&one, out.emplace_back())) return false;
  return true;
}

bool Read(const Value* value, WallTime& out) {
  std::string text;
  if (!Read(value, text)) return false;
  const auto time = ParseUtc(text);
  if (time) out = *time;
  return time.has_value();
}

template <class Enum>
bool Read(const Value* value, std::optional<Enum> (*parse)(std::string_view),
          Enum& out) {
  std::string name;
  if (!Read(value, name)) return false;
  const auto known = parse(name);
  if (known) out = *known;
  return known.has_value();
}

bool Read(const Value& object, FailureDetail& out) {
  if (!object.IsObject()) return false;
  const auto member = [&](const char* name) { return Member(object, name); };
  std::string type;
  const bool fits =
      Read(member("result-type"), type) && !type.empty() &&
      Read(member("sending-mta-ip"), out.sending_mta_ip) &&
      Read(member("receiving-mx-hostname"), out.receiving_mx_hostname) &&
      Read(member("receiving-mx-helo"), out.receiving_mx_helo) &&
      Read(member("receiving-ip"), out.receiving_ip) &&
      Read(member("failed-session-count"), out.failed_session_count) &&
      Read(member("additional-information"), out.additional_information) &&
      Read(member("failure-reason-code"), out.failure_reason_code);
  if (!fits) return false;
  if (const auto known = ParseResultType(type)) {
    out.result_type = *known;
  } else {
    out.result_type = ResultType::kValidationFailure;
    const std::string& reason = out.failure_reason_code;
    out.failure_reason_code =
        "code-" + type + (reason.empty() ? "" : ": " + reason);
  }
  return true;
}

bool Read(const Value* value, std::vector<FailureDetail>& out) {
  if (!value || !value->IsArray()) return false;
  for (const Value& one : value->GetArray())
    if (!Read(one, out.emplace_back())) return false;
  return true;
}

}  // namespace

void AppendOutcomeLine(const Outcome& outcome, std::string& out) {
  Append(R"({"at":)", FormatUtc(outcome.at), out);
  Append(R"(,"domain":)", outcome.domain, out);
  Append(R"(,"source":)", OutcomeSourceName(outcome.source), out);
  Append(R"(,"policy-type":)", PolicyTypeName(outcome.policy_type), out);
  AppendIfKnown(R"(,"policy-domain":)", outcome.policy_domain, out);
  AppendIfKnown(R"(,"policy-string":)", outcome.policy_string, out);
  AppendIfKnown(R"(,"mx-host":)", outcome.mx_host, out);
  Append(R"(,"successful":)", outcome.successful, out);
  Append(R"(,"failed":)", outcome.failed, out);
  out += R"(,"failure-details":[)";
  for (const FailureDetail& detail : outcome.failure_details) {
    if (&detail != outcome.failure_details.data()) out += ',';
    AppendDetail(detail, out);
  }
  out += ']';
  AppendIfKnown(R"(,"record":)", outcome.record, out);
  out += "}\n";
}

std::optional<Outcome> ParseOutcomeLine(std::string_view line) {
  if (line.size() > kMaxOutcomeLine) return std::nullopt;
  std::string text(line);  // parsed in place
  text.append(kAfterJson, '\0');
  JsonPool pool;
  DeepJson object(pool);
  if (!object.Read(text.data(), line.size()) || !object.IsObject())
    return std::nullopt;
  const auto member = [&](const char* name) { return Member(object, name); };
  Outcome outcome;
  const bool fits =
      Read(member("at"), outcome.at) &&
      Read(member("domain"), outcome.domain) &&
      IsNormalDomain(outcome.domain) &&
      Read(member("source"), ParseOutcomeSource, outcome.source) &&
      Read(member("policy-type"), ParsePolicyType, outcome.policy_type) &&
      Read(member("policy-domain"), outcome.policy_domain) &&
      Read(member("policy-string"), outcome.policy_string) &&
      Read(member("mx-host"), outcome.mx_host) &&
      Read(member("successful"), outcome.successful) &&
      Read(member("failed"), outcome.failed) &&
      Read(member("failure-details"), outcome.failure_details) &&
      Read(member("record"), outcome.record);
  if (!fits) return std::nullopt;
  return outcome;
}

}  // namespace postern
