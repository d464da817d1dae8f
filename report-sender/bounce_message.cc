#include "report-sender/bounce_message.h"

#include <algorithm>
#include <optional>

#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kMaxFields = 200;
constexpr size_t kMaxValue = 1000;
constexpr size_t kMaxRecipients = 100;

struct Field {
  std::string name;  // in lower case
  std::string value;
};
using Fields = std::vector<Field>;

// Without its end, which may be CRLF.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Up to the first empty line, which is taken, too. Unfolded (RFC 5322 section
// 2.2.3); what is no field is skipped.
Fields TakeFields(std::string_view& text) {
  Fields fields;
  bool skips = false;
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    if (line.empty()) break;
    const bool goes_on = line[0] == ' ' || line[0] == '\t';
    if (goes_on && !skips && !fields.empty() &&
        fields.back().value.size() + line.size() <= kMaxValue)
      fields.back().value.append(line);
    if (goes_on) continue;
    const size_t colon = line.find(':');
    skips = colon == line.npos || fields.size() >= kMaxFields ||
            line.size() > kMaxValue;
    if (!skips)
      fields.push_back({ToLowerAscii(TrimBlanks(line.substr(0, colon))),
                        std::string(TrimBlanks(line.substr(colon + 1)))});
  }
  return fields;
}

std::string ValueOf(const Fields& fields, std::string_view name) {
  const auto found =
      std::find_if(fields.begin(), fields.end(),
                   [&](const Field& field) { return field.name == name; });
  return found == fields.end() ? "" : found->value;
}

bool IsType(const Fields& fields, std::string_view type) {
  return ToLowerAscii(ValueOf(fields, "content-type")).starts_with(type);
}

// RFC 2045 section 5.1; "" where there is none.
std::string Boundary(const std::string& type) {
  static constexpr std::string_view kName = "boundary=";
  const size_t at = ToLowerAscii(type).find(kName);
  if (at == type.npos) return "";
  const std::string_view value =
      std::string_view(type).substr(at + kName.size());
  if (value.starts_with('"'))
    return std::string(value.substr(1, value.find('"', 1) - 1));
  return std::string(value.substr(0, value.find_first_of("; \t")));
}

// The parts between the boundaries (RFC 2046 section 5.1.1).
std::vector<std::string_view> Parts(std::string_view body,
                                    const std::string& boundary) {
  const std::string mark = "--" + boundary;
  std::vector<std::string_view> parts;
  const char* begin = nullptr;
  while (!body.empty()) {
    const std::string_view line = TakeLine(body);
    if (!line.starts_with(mark)) continue;
    if (begin)
      parts.emplace_back(begin, static_cast<size_t>(line.data() - begin));
    begin = body.data();
    if (line.substr(mark.size()).starts_with("--")) return parts;
  }
  // Cut off: what has begun counts.
  if (begin)
    parts.emplace_back(begin, static_cast<size_t>(body.data() - begin));
  return parts;
}

// "rfc822; tls@example.com", RFC 3464 section 2.3.1.
std::string Recipient(const std::string& value) {
  const size_t type = value.find(';');
  if (type == value.npos) return "";
  std::string_view address =
      TrimBlanks(std::string_view(value).substr(type + 1));
  if (address.starts_with('<') && address.ends_with('>'))
    address = address.substr(1, address.size() - 2);
  return std::string(address);
}

// RFC 3464 section 2.3: a group for each recipient, behind the mail's own.
void AppendFailures(std::string_view part, std::vector<Bounce::Failure>& out) {
  TakeFields(part);  // the part's own head
  while (!part.empty() && out.size() < kMaxRecipients) {
    const Fields group = TakeFields(part);
    const std::string status = ValueOf(group, "status");
    if (ToLowerAscii(ValueOf(group, "action")) != "failed" ||
        !status.starts_with("5."))
      continue;
    out.push_back({Recipient(ValueOf(group, "final-recipient")),
                   Recipient(ValueOf(group, "original-recipient")),
                   status.substr(0, status.find_first_of(" \t("))});
  }
}

std::string MessageIdIn(std::string_view part) {
  TakeFields(part);
  const std::string value = ValueOf(TakeFields(part), "message-id");
  if (value.size() < 3 || value.front() != '<' || value.back() != '>')
    return "";
  return value.substr(1, value.size() - 2);
}

}  // namespace

Result<Bounce> ParseBounce(std::string_view mail) {
  mail = mail.substr(0, kMaxBounceBytes);
  // An mbox line, as pipe(8) with flag F puts one.
  if (mail.starts_with("From ")) TakeLine(mail);
  const Fields head = TakeFields(mail);
  if (!IsType(head, "multipart/report"))
    return Error{"it is no delivery status notification"};
  const std::string boundary = Boundary(ValueOf(head, "content-type"));
  if (boundary.empty()) return Error{"it has no boundary"};
  Bounce bounce;
  for (const std::string_view part : Parts(mail, boundary)) {
    std::string_view rest = part;
    const Fields fields = TakeFields(rest);
    if (IsType(fields, "message/delivery-status") ||
        IsType(fields, "message/global-delivery-status"))
      AppendFailures(part, bounce.failures);
    else if (IsType(fields, "message/") || IsType(fields, "text/rfc822"))
      bounce.message_id = MessageIdIn(part);
  }
  if (bounce.failures.empty()) return Error{"it tells of no permanent failure"};
  if (bounce.message_id.empty())
    return Error{"it does not say which mail came back"};
  return bounce;
}

}  // namespace postern
