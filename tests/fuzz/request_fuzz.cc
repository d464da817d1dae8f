// Bytes of a socketmap connection: netstring, map and key.
#include "common/domain_name.h"

#include "policy-daemon/policy_key.h"
#include "policy-daemon/postfix_reply.h"
#include "policy-daemon/socketmap.h"
#include "tests/fuzz/fuzz.h"

namespace postern {
namespace {

void CheckOne(const NetstringParse& parsed, std::string_view bytes) {
  Require(parsed.consumed <= bytes.size(), "reads inside its bytes");
  const std::string_view whole = bytes.substr(0, parsed.consumed);
  Require(EncodeNetstring(parsed.payload) == whole, "one spelling only");
  Require(ParseNetstring(whole.substr(0, whole.size() - 1)).state ==
              NetstringParse::State::kIncomplete,
          "a beginning is incomplete");
  const SocketmapRequest request = SplitRequest(parsed.payload);
  Require(request.map.find(' ') == std::string_view::npos,
          "a map's name has no blank");
  static_cast<void>(DialectOfMap(request.map));
  static const ServicePorts services = {{"smtp", 25}, {"submission", 587}};
  const auto key = ParsePolicyKey(request.key, services);
  Require(!key || IsNormalDomain(key->domain), "a key has a normal domain");
}

}  // namespace
}  // namespace postern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes = postern::AsText(data, size);
  for (;;) {
    const auto parsed = postern::ParseNetstring(bytes);
    if (parsed.state != postern::NetstringParse::State::kComplete) return 0;
    postern::CheckOne(parsed, bytes);
    bytes.remove_prefix(parsed.consumed);
  }
}
