// The administrator's file of overrides; behind its first line break, the
// input stands for a file, before it, for the key that is asked.
#include <algorithm>

#include "common/text.h"

#include "policy-daemon/overrides.h"
#include "policy-daemon/socketmap.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/postfix_parser.h"

namespace postern {
namespace {

void CheckReply(const Override& found) {
  if (found.reply.empty()) {
    Require(found.sts_off || found.dane_off, "a line says something");
    return;
  }
  const NetstringParse netstring = ParseNetstring(found.reply);
  Require(netstring.state == NetstringParse::State::kComplete &&
              netstring.consumed == found.reply.size(),
          "a reply is a netstring");
  if (found.kind == ReplyKind::kNotFound) {
    Require(netstring.payload == kNotFoundReply, "off is NOTFOUND");
    return;
  }
  for (PostfixVersion version : {PostfixVersion::k37, PostfixVersion::k310}) {
    const auto read = ReadAsPostfix(netstring.payload, version);
    Require(read.ok(), read.error);
    Require(read.policy_type.empty(), "no attribute for reports");
  }
}

}  // namespace
}  // namespace postern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  static const ServicePorts services = {{"smtp", 25}, {"submission", 587}};
  std::string_view file = AsText(data, size);
  const std::string_view asked = file.substr(0, file.find('\n'));
  file.remove_prefix(std::min(asked.size() + 1, file.size()));

  const auto overrides = Overrides::Parse(file, "file", services);
  if (!overrides) {
    const std::string& message = overrides.error().message;
    Require(Printable(message, 10000) == message, "messages are safe");
    return 0;
  }
  if (const Override* found = overrides->Find(asked)) {
    const auto key = ParsePolicyKey(asked, services);
    Require(key && key->ToString() == asked,
            "only the normal spelling of a key is found");
    CheckReply(*found);
  }
  // Every line is found by its own key.
  for (std::string_view line : SplitList(file, "\n")) {
    const auto words = SplitList(line, " \t\r");
    if (words.empty() || words.front().front() == '#') continue;
    std::string_view name = words.front();
    const std::string child = "x" + std::string(name);
    if (name.front() == '.') name = child;
    const auto key = ParsePolicyKey(name, services);
    if (!key && name == child) continue;  // the child's name is too long
    Require(key.has_value(), "a destination is a key");
    const Override* found = overrides->Find(key->ToString());
    Require(found, "a line is found by its key");
    CheckReply(*found);
  }
  return 0;
}
