// A policy file; the replies made of a valid one are read back as Postfix
// would read them.
#include "common/text.h"

#include "policy-daemon/sts_policy.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/postfix_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const auto policy = ParseStsPolicy(AsText(data, size));
  if (!policy) {
    const std::string& problem = policy.error().message;
    Require(Printable(problem, 1000) == problem, "problems are safe");
    return 0;
  }
  Require(policy->max_age >= Seconds(0) && policy->max_age <= kMaxPolicyAge,
          "max_age has bounds");
  Require(!policy->mx.empty() || policy->mode == StsMode::kNone,
          "hosts are named");
  if (policy->mx.empty()) return 0;
  for (Dialect dialect : {Dialect::kPolicy, Dialect::kTlsrpt})
    Require(WrongInSecureReply(*policy, "example.com", dialect).empty(),
            WrongInSecureReply(*policy, "example.com", dialect));
  const std::string testing = TestingReply(*policy, "example.com");
  const auto read = ReadAsPostfix(testing, PostfixVersion::k310);
  Require(read.ok(), read.error);
  Require(read.level == "may" && read.match.empty() &&
              read.servername.empty() && read.others.empty(),
          "a testing reply only reports");
  return 0;
}
