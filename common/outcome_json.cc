#include "common/outcome_json.h"

#include <algorithm>

#include "common/domain_name.h"
#include "common/json_text.h"
#include "common/json_tree.h"
#include "common/text.h"
#include "common/utc.h"

namespace postern {
namespace {

// --- writing ---

uint64_t Sessions(uint64_t count) { return std::min(count, kMaxSessions); }

void PutDetail(const FailureDetail& detail, JsonText& out) {
  out.Put(R"({"result-type":")", ResultTypeName(detail.result_type));
  out.PutIfKnown(R"(,"sending-mta-ip":")", detail.sending_mta_ip);
  out.PutIfKnown(R"(,"receiving-mx-hostname":")", detail.receiving_mx_hostname);
  out.PutIfKnown(R"(,"receiving-mx-helo":")", detail.receiving_mx_helo);
  out.PutIfKnown(R"(,"receiving-ip":")", detail.receiving_ip);
  out.Put(R"(,"failed-session-count":)", Sessions(detail.failed_session_count));
  out.PutIfKnown(R"(,"additional-information":")",
                 detail.additional_information);
  out.PutIfKnown(R"(,"failure-reason-code":")", detail.failure_reason_code);
  out.Put("}");
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

void AppendOutcomeLine(const Outcome& outcome, std::string& line) {
  JsonText out(line);
  out.Put(R"({"at":")", FormatUtc(outcome.at));
  out.Put(R"(,"domain":")", outcome.domain);
  out.Put(R"(,"source":")", OutcomeSourceName(outcome.source));
  out.Put(R"(,"policy-type":")", PolicyTypeName(outcome.policy_type));
  out.PutIfKnown(R"(,"policy-domain":")", outcome.policy_domain);
  if (!outcome.policy_digest.empty()) {
    out.Put(R"(,"policy-digest":")", outcome.policy_digest);
  } else {
    if (!outcome.policy_string.empty())
      out.PutList(R"(,"policy-string":[)", outcome.policy_string);
    if (!outcome.mx_host.empty())
      out.PutList(R"(,"mx-host":[)", outcome.mx_host);
  }
  out.Put(R"(,"successful":)", Sessions(outcome.successful));
  out.Put(R"(,"failed":)", Sessions(outcome.failed));
  out.PutList(R"(,"failure-details":[)", outcome.failure_details,
              [&](const FailureDetail& detail) { PutDetail(detail, out); });
  out.PutIfKnown(R"(,"record":")", outcome.record);
  out.Put("}\n");
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
      Read(member("policy-digest"), outcome.policy_digest) &&
      Read(member("successful"), outcome.successful) &&
      Read(member("failed"), outcome.failed) &&
      Read(member("failure-details"), outcome.failure_details) &&
      Read(member("record"), outcome.record);
  if (!fits) return std::nullopt;
  return outcome;
}

}  // namespace postern
