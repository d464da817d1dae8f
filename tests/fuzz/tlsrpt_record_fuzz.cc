// The TXT records at _smtp._tls, one a line.
#include <algorithm>

#include "common/domain_name.h"
#include "common/text.h"

#include "report-sender/tlsrpt_record.h"
#include "tests/fuzz/fuzz.h"

namespace postern {
namespace {

void Check(const Destination& destination) {
  const std::string uri = DestinationUri(destination);
  Require(Printable(uri, 10000) == uri, "a URI is printable");
  const auto again = ParseDestination(uri);
  // A path that was left out may have made it too long.
  Require(again ? *again == destination : uri.size() > 2000,
          "a URI parses to its destination");
  if (const auto* url = std::get_if<HttpsUrl>(&destination)) {
    Require(IsNormalDomain(url->host), "a host is a domain");
    Require(url->target.starts_with('/'), "a target is a path");
    return;
  }
  const std::string& address = std::get<MailAddress>(destination).address;
  const size_t at = address.find('@');
  Require(at != address.npos && at == address.rfind('@'), "one '@'");
  Require(IsNormalDomain(address.substr(at + 1)), "an address has a domain");
  Require(!address.starts_with('-'), "an address is no option");
  Require(std::none_of(address.begin(), address.end(),
                       [](char c) {
                         return c <= ' ' || c == 0x7f ||
                                std::string_view("!%|,;:<>()[]\\\"").find(c) !=
                                    std::string_view::npos;
                       }),
          "an address is plain");
}

}  // namespace
}  // namespace postern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  std::vector<std::string> records;
  for (std::string_view line : SplitList(AsText(data, size), "\n"))
    records.emplace_back(line);
  const TlsrptRecord record = ParseTlsrptRecords(records);
  Require(record.destinations.size() <= kMaxDestinations, "few destinations");
  for (const Destination& one : record.destinations) Check(one);
  for (const std::string& problem : record.problems)
    Require(Printable(problem, 10000) == problem, "problems are safe");
  return 0;
}
