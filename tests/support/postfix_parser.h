// A model of how Postfix reads a TLS policy reply: socketmap verb, level,
// attributes. What it accepts, and only that, is what a reply can say.
//
// Why: one fault invalidates the whole reply and holds all mail to the
// domain, and braces have no escape, so text from a policy file could add
// attributes of its own. The tests and the fuzzers read every reply back.
//
// After Postfix 3.10's smtp_tls_policy.c (tls_policy_lookup_one), with
// mystrtokq(), extpar() and split_nameval(). Limits: no file names (tafile) are
// opened, values of ciphers, protocols and exclude are not looked into.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy-daemon/postfix_reply.h"

namespace postern {

enum class PostfixVersion {
  k37,   // no braces, no policy_* attributes
  k310,  // both
};

struct PostfixPolicy {
  // Why Postfix would refuse the reply and hold the mail; "": it takes it.
  std::string error;

  std::string level;
  std::vector<std::string> match;  // split as the level splits it
  std::string servername;
  std::string policy_type;
  std::string policy_domain;
  std::vector<std::string> policy_strings;
  std::vector<std::string> mx_host_patterns;
  // Names of all other attributes, in order: none of ours.
  std::vector<std::string> others;

  bool ok() const { return error.empty(); }
};

// `payload`: what the reply's netstring holds, from "OK " on.
PostfixPolicy ReadAsPostfix(std::string_view payload, PostfixVersion version);

// Reads SecureReply(policy, domain, dialect) as Postfix would and compares it
// with the policy: "" where it says just that, or what is wrong with it.
std::string WrongInSecureReply(const StsPolicy& policy, std::string_view domain,
                               Dialect dialect);

}  // namespace postern
