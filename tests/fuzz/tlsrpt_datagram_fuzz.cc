// A datagram of libtlsrpt: what is taken is bounded, clean text.
#include <algorithm>
#include <span>
#include <variant>
#include <vector>

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "common/domain_name.h"
#include "common/ip_address.h"

#include "policy-daemon/tlsrpt_datagram.h"
#include "tests/fuzz/fuzz.h"

namespace postern {
namespace {

// By other code than the parser's.
bool IsUtf8ForRapidjson(std::string_view text) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>,
                    rapidjson::UTF8<>, rapidjson::CrtAllocator,
                    rapidjson::kWriteValidateEncodingFlag>
      writer(buffer);
  return writer.String(text.data(),
                       static_cast<rapidjson::SizeType>(text.size()));
}

void RequireClean(const std::string& text, size_t max_bytes) {
  Require(text.size() <= max_bytes, "texts are bounded");
  Require(IsUtf8ForRapidjson(text), "texts are UTF-8");
  Require(
      std::none_of(text.begin(), text.end(),
                   [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; }),
      "texts have no control characters");
  for (size_t at = text.find('\xc2'); at != text.npos;
       at = text.find('\xc2', at + 1))
    Require(static_cast<unsigned char>(text[at + 1]) >= 0xa0,
            "texts have no C1 control characters");
}

void RequireStrings(const std::vector<std::string>& strings, size_t max_bytes) {
  Require(strings.size() <= kMaxPolicyStrings, "lists are bounded");
  size_t bytes = 0;
  for (const std::string& text : strings) {
    RequireClean(text, max_bytes);
    bytes += text.size();
  }
  Require(bytes <= kMaxPolicyStringsBytes, "lists are bounded as a whole");
}

void RequireAddress(const std::string& text) {
  if (text.empty()) return;
  const auto address = IpAddress::Parse(text);
  Require(address && address->ToString() == text, "addresses are canonical");
}

void RequireDetail(const FailureDetail& detail) {
  RequireAddress(detail.sending_mta_ip);
  RequireAddress(detail.receiving_ip);
  Require(detail.receiving_mx_hostname.empty() ||
              IsNormalDomain(detail.receiving_mx_hostname),
          "host names are normal");
  RequireClean(detail.receiving_mx_helo, kMaxHeloBytes);
  Require(
      detail.receiving_mx_helo.find_first_of(" <>\"\\?") == std::string::npos,
      "a HELO name is a word");
  RequireClean(detail.failure_reason_code, kMaxReasonBytes);
  RequireClean(detail.additional_information, kMaxInformationBytes);
}

void RequireOutcome(const Outcome& outcome, WallTime at) {
  Require(outcome.at == at && outcome.source == OutcomeSource::kPostfix,
          "outcomes are dated");
  Require(IsNormalDomain(outcome.domain), "domains are normal");
  Require(!outcome.policy_domain.empty(), "each policy has a domain");
  RequireClean(outcome.policy_domain, kMaxDomainLength);
  RequireClean(outcome.record, kMaxRecordBytes);
  RequireStrings(outcome.policy_string, kMaxPolicyStringBytes);
  RequireStrings(outcome.mx_host, kMaxMxHostBytes);
  if (outcome.policy_type == PolicyType::kTlsa)
    Require(std::is_sorted(outcome.policy_string.begin(),
                           outcome.policy_string.end()),
            "TLSA records are sorted");
  Require(outcome.successful + outcome.failed == 1, "a policy is a session");
  uint64_t details = 0;
  for (const FailureDetail& detail : outcome.failure_details) {
    RequireDetail(detail);
    Require(detail.failed_session_count > 0, "each detail happened");
    details += detail.failed_session_count;
  }
  Require(details <= kMaxDatagramDetails, "details are bounded");
}

}  // namespace
}  // namespace postern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  constexpr WallTime kAt{Seconds(1795353900)};
  static DatagramParser parser;
  const DatagramResult result = parser.Parse(AsText(data, size), kAt);
  if (const auto* fault = std::get_if<DatagramFault>(&result)) {
    Require(DatagramFaultName(*fault) != nullptr, "faults have names");
    return 0;
  }
  const auto parsed = std::get<std::span<Outcome>>(result);
  const std::vector<Outcome> outcomes(parsed.begin(), parsed.end());
  Require(!outcomes.empty() && outcomes.size() <= kMaxDatagramPolicies,
          "policies are bounded");
  for (const Outcome& outcome : outcomes) RequireOutcome(outcome, kAt);
  const DatagramResult again = parser.Parse(AsText(data, size), kAt);
  Require(std::ranges::equal(std::get<std::span<Outcome>>(again), outcomes),
          "a datagram leaves nothing behind");
  return 0;
}
