// AnsweredPolicy: what Postfix was told about a next-hop, for those who learn
// afterwards how its sessions went (MaillogSessions).
//
// It stands beside each answer in memory, and is shared by all who got that.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/outcome.h"

namespace postern {

struct AnsweredPolicy {
  enum class Demand {
    kNothing,         // NOTFOUND, may, encrypt: any handshake will do
    kDane,            // each MX host is judged by its own records
    kAuthentication,  // secure, dane-only: a handshake that is not verified
                      // has failed
    kLater,           // TEMP, PERM: no connection is made
  };
  Demand demand = Demand::kNothing;
  std::string domain;  // of the next-hop, normal form; "": an address
  // As in Outcome; those of DANE are the hosts'.
  PolicyType policy_type = PolicyType::kNoPolicyFound;
  std::string policy_domain;
  std::vector<std::string> policy_string;
  std::vector<std::string> mx_host;
  // Its MX hosts, by our lookup.
  struct Host {
    enum class Tlsa { kUnknown, kNone, kSome };

    std::string name;
    Tlsa has_tlsa = Tlsa::kUnknown;  // usable or not
    std::string tlsa_base;           // kSome: where they are
    std::vector<std::string> tlsa;   // in Outcome's spelling, sorted

    friend bool operator==(const Host&, const Host&) = default;
  };
  std::vector<Host> hosts;
  bool all_hosts = false;  // it has no others

  friend bool operator==(const AnsweredPolicy&,
                         const AnsweredPolicy&) = default;
};
using AnsweredPolicyPtr = std::shared_ptr<const AnsweredPolicy>;

// Cuts its texts to those of a line each (common/outcome_bounds.h), and those
// of all hosts' TLSA records to 32 KiB together; hosts beyond have none.
void BoundAnsweredPolicy(AnsweredPolicy& policy);

// What it takes in memory.
size_t BytesOf(const AnsweredPolicy& policy);

}  // namespace postern
