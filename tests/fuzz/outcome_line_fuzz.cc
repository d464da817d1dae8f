// A line of the spool; and as the text of strangers inside of one.
#include <algorithm>

#include "common/domain_name.h"
#include "common/outcome_json.h"
#include "common/text.h"

#include "tests/fuzz/fuzz.h"

namespace postern {
namespace {

// Reads again what is written of `outcome`.
std::optional<Outcome> Again(const Outcome& outcome) {
  std::string line;
  AppendOutcomeLine(outcome, line);
  Require(line.back() == '\n', "a line ends");
  line.pop_back();
  Require(std::all_of(line.begin(), line.end(),
                      [](char c) { return c >= 0x20 && c < 0x7f; }),
          "a line is printable ASCII");
  if (line.size() >= kMaxOutcomeLine) return std::nullopt;
  const auto again = ParseOutcomeLine(line);
  Require(again.has_value(), "what is written can be read");
  return again;
}

}  // namespace
}  // namespace postern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view text = AsText(data, size);
  if (const auto outcome = ParseOutcomeLine(text)) {
    Require(IsNormalDomain(outcome->domain), "a domain has its normal form");
    const auto again = Again(*outcome);
    Require(!again || again == outcome, "it is read as it was");
  }
  Outcome outcome;
  outcome.domain = "example.com";
  outcome.policy_string = {std::string(text)};
  outcome.failure_details.emplace_back().receiving_mx_helo = text;
  const auto again = Again(outcome);
  if (!again) return 0;
  Require(IsUtf8(again->policy_string.at(0)), "what is read is UTF-8");
  Require(!IsUtf8(text) || again == outcome, "UTF-8 stays as it is");
  return 0;
}
