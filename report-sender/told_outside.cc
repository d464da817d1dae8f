#include "report-sender/told_outside.h"

#include <algorithm>
#include <array>

#include "common/ip_address.h"
#include "common/text.h"

namespace postern {
namespace {

// "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"
constexpr size_t kMaxAddress = 45;
constexpr std::string_view kResolver = "resolver ";

bool MayBeTold(const IpAddress& address) {
  static const std::array kNobodys = {
      *IpPrefix::Parse("192.0.2.0/24"), *IpPrefix::Parse("198.51.100.0/24"),
      *IpPrefix::Parse("203.0.113.0/24"), *IpPrefix::Parse("2001:db8::/32")};
  return IsGlobal(address) || std::any_of(kNobodys.begin(), kNobodys.end(),
                                          [&](const IpPrefix& prefix) {
                                            return prefix.Contains(address);
                                          });
}

bool IsOfAddress(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
         (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

// The longest address that the text begins with; 0: none.
size_t AddressSize(std::string_view text, std::optional<IpAddress>& address) {
  size_t size = 0;
  while (size < std::min(text.size(), kMaxAddress) && IsOfAddress(text[size]))
    ++size;
  for (; size >= 2; --size) {
    address = IpAddress::Parse(text.substr(0, size));
    if (address) return size;
  }
  return 0;
}

// A path of at least two names, such as /etc/ssl/certs; 0: none.
size_t PathSize(std::string_view text) {
  if (text.size() < 2 || text[0] != '/' || !IsAsciiAlnum(text[1])) return 0;
  const size_t size =
      std::min(text.find_first_of(" \t,;:'\"()<>"), text.size());
  return text.substr(1, size - 1).find('/') == text.npos ? 0 : size;
}

}  // namespace

std::string AddressForReport(std::string_view text) {
  const auto address = IpAddress::Parse(text);
  return address && MayBeTold(*address) ? address->ToString() : "";
}

std::string ReasonForReport(std::string_view text) {
  std::string reason;
  while (!text.empty()) {
    const char before = reason.empty() ? ' ' : reason.back();
    std::optional<IpAddress> address;
    const bool begins = !IsAsciiAlnum(before) && before != '.';
    if (const size_t size = begins ? AddressSize(text, address) : 0) {
      if (ToLowerAscii(reason).ends_with(kResolver) || !MayBeTold(*address))
        reason += "(an address of ours)";
      else
        reason += text.substr(0, size);
      text.remove_prefix(size);
    } else if (const size_t path = before == ' ' || before == '\'' ||
                                           before == '"' || before == '('
                                       ? PathSize(text)
                                       : 0) {
      reason += "(a file)";
      text.remove_prefix(path);
    } else {
      reason += text.front();
      text.remove_prefix(1);
    }
  }
  return reason;
}

}  // namespace postern
