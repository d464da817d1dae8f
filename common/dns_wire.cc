#include "common/dns_wire.h"

#include "common/domain_name.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kHeaderSize = 12;
constexpr size_t kMaxWireName = 255;
constexpr unsigned kTypeOpt = 41;
constexpr unsigned kClassIn = 1;
// What passes every path unfragmented (DNS flag day 2020).
constexpr unsigned kUdpPayload = 1232;

constexpr unsigned kResponse = 0x8000;
constexpr unsigned kTruncated = 0x0200;
constexpr unsigned kRecursionDesired = 0x0100;
constexpr unsigned kAuthenticData = 0x0020;
constexpr unsigned kCheckingDisabled = 0x0010;
constexpr unsigned kRcodeMask = 0x000f;
constexpr unsigned kDnssecOk = 0x8000;  // in OPT's flags

void Put16(std::string& wire, unsigned value) {
  wire += static_cast<char>(value >> 8);
  wire += static_cast<char>(value & 0xff);
}

// `at` + 2 is within `wire`.
unsigned Get16(std::string_view wire, size_t at) {
  return static_cast<unsigned>(static_cast<uint8_t>(wire[at])) << 8 |
         static_cast<uint8_t>(wire[at + 1]);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The byte that "\DDD" at `at` stands for (RFC 1035 section 5.1).
std::optional<char> UnescapedByte(std::string_view text, size_t at) {
  if (at + 4 > text.size()) return std::nullopt;
  int value = 0;
  for (size_t i = at + 1; i < at + 4; ++i) {
    if (!IsDigit(text[i])) return std::nullopt;
    value = 10 * value + (text[i] - '0');
  }
  if (value > 255) return std::nullopt;
  return static_cast<char>(value);
}

std::optional<std::string> EncodeName(std::string_view text) {
  if (text == "." || text.empty()) return std::string(1, '\0');
  std::string wire;
  std::string label;
  const auto end_label = [&] {
    if (label.empty() || label.size() > kMaxLabelLength) return false;
    wire += static_cast<char>(label.size());
    wire += label;
    label.clear();
    return true;
  };
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '.') {
      if (!end_label()) return std::nullopt;
    } else if (text[at] == '\\') {
      const auto byte = UnescapedByte(text, at);
      if (!byte) return std::nullopt;
      label += *byte;
      at += 3;
    } else {
      label += text[at];
    }
  }
  if (!end_label()) return std::nullopt;
  wire += '\0';
  if (wire.size() > kMaxWireName) return std::nullopt;
  return wire;
}

// Resolvers may answer with other letter cases than they were asked with.
bool EqualInAnyCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (AsciiLower(a[i]) != AsciiLower(b[i])) return false;
  return true;
}

}  // namespace

std::optional<std::string> EncodeDnsQuery(const DnsQuery& query) {
  const auto name = EncodeName(query.name);
  if (!name) return std::nullopt;
  std::string wire;
  Put16(wire, 0);  // the id
  Put16(wire, kRecursionDesired |
                  (query.unchecked ? kCheckingDisabled : kAuthenticData));
  for (const unsigned count : {1u, 0u, 0u, 1u}) Put16(wire, count);
  wire += *name;
  Put16(wire, static_cast<unsigned>(query.type));
  Put16(wire, kClassIn);
  // EDNS (RFC 6891 section 6.1.2): name, type, payload, flags, no options.
  wire += '\0';
  Put16(wire, kTypeOpt);
  Put16(wire, kUdpPayload);
  Put16(wire, 0);
  Put16(wire, query.with_proofs ? kDnssecOk : 0);
  Put16(wire, 0);
  return wire;
}

bool IsReplyTo(std::string_view query, std::string_view message) {
  if (message.size() < kHeaderSize || Get16(message, 0) != Get16(query, 0))
    return false;
  const unsigned flags = Get16(message, 2);
  if ((flags & kResponse) == 0) return false;
  const unsigned questions = Get16(message, 4);
  if (questions == 0) return (flags & kRcodeMask) != 0;
  size_t root = kHeaderSize;
  while (query[root] != '\0') root += 1 + static_cast<uint8_t>(query[root]);
  const size_t name_size = root + 1 - kHeaderSize;
  const size_t size = name_size + 4;  // type and class
  return questions == 1 && message.size() >= kHeaderSize + size &&
         EqualInAnyCase(query.substr(kHeaderSize, name_size),
                        message.substr(kHeaderSize, name_size)) &&
         query.substr(kHeaderSize + name_size, 4) ==
             message.substr(kHeaderSize + name_size, 4);
}

bool IsTruncated(std::string_view message) {
  return (Get16(message, 2) & kTruncated) != 0;
}

}  // namespace postern
