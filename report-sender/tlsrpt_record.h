// The TXT records at _smtp._tls.<domain> (RFC 8460 section 3): where reports
// about the domain go.
//
//   v=TLSRPTv1; rua=mailto:tls@example.com,https://reports.example.com/v1
//
// Anybody on the internet writes them, and what is in them ends up in the
// arguments of sendmail(1), in a mail's header, and as where we connect to. So
// of addresses only `dot-string@fully.qualified.domain` is taken, of URLs only
// those of a named host; each other destination is refused by itself, in words
// for the operator, and the rest is kept.
//
// Choices: a blank may stand before the first ";" (a well-known vendor's
// how-to has it); unknown fields are ignored, whatever their values; an address
// with mail headers ("?subject=...") is refused, not cut.
//
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/result.h"

namespace postern {

// A domain that names more has others pay for it.
inline constexpr size_t kMaxDestinations = 10;

struct MailAddress {
  std::string address;  // decoded, the domain in normal form

  friend bool operator==(const MailAddress&, const MailAddress&) = default;
};

struct HttpsUrl {
  std::string host;  // in normal form
  uint16_t port = 443;
  std::string target = "/";  // path and query, as they go into a request

  friend bool operator==(const HttpsUrl&, const HttpsUrl&) = default;
};

using Destination = std::variant<MailAddress, HttpsUrl>;

// The error says why it is refused, and is safe to print.
Result<Destination> ParseDestination(std::string_view uri);

// A URI that parses to an equal destination; printable.
std::string DestinationUri(const Destination& destination);

struct TlsrptRecord {
  // In the record's order, without repeats. None: no reports are wanted.
  std::vector<Destination> destinations;
  // For a person: why there are none, and what was refused. Empty where the
  // domain does not take part at all.
  std::vector<std::string> problems;
};

// `records`: every TXT record at the name, each one's strings joined.
TlsrptRecord ParseTlsrptRecords(const std::vector<std::string>& records);

}  // namespace postern
