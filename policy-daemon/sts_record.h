// The TXT records at _mta-sts.<policy domain> (RFC 8461 section 3.1).
#pragma once

#include <string>
#include <vector>

namespace postern {

struct StsRecord {
  enum class State {
    kAbsent,   // no record of this version: the domain has no MTA-STS
    kInvalid,  // several, or a malformed one: the same, but worth telling
    kValid,
  };
  State state = State::kAbsent;
  std::string id;       // kValid
  std::string problem;  // kInvalid: for a person
};

// `records`: every TXT record at the name, each one's strings joined.
StsRecord ParseStsRecords(const std::vector<std::string>& records);

}  // namespace postern
