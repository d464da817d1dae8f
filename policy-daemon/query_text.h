// The facts about a destination for people (text) and programs (JSON).
//
// Pure. What a remote side wrote is escaped here.
#pragma once

#include <string>

#include "policy-daemon/decision.h"
#include "policy-daemon/facts.h"
#include "policy-daemon/reply_builder.h"

namespace postern {

struct QueryResult {
  Facts facts;
  Decision decision;
  std::string reply;         // to the map "policy"
  std::string tlsrpt_reply;  // to the map "policy-tlsrpt"
  bool resolver_validates = true;
  WallTime now{};
};

std::string QueryAsText(const QueryResult& result);
std::string QueryAsJson(const QueryResult& result);

// An override answers: nothing is looked up.
struct OverrideResult {
  std::string key;
  std::string reply;  // to either map
  std::string file;   // policy.overrides
  uint32_t line = 0;
};
std::string OverrideAsText(const OverrideResult& result);
std::string OverrideAsJson(const OverrideResult& result);

// True where the domain's owner has something to mend.
bool HasProblem(const Facts& facts);

}  // namespace postern
