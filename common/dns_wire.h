// DNS messages as bytes: the question that we send, and whether a message that
// came is the reply to it (RFC 1035 section 4.1). What is inside a reply, reads
// getdns_answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/dns.h"

namespace postern {

struct DnsQuery {
  std::string name;  // "example.com", "." for the root
  DnsType type = DnsType::kA;
  // Bogus data, too (CD, RFC 4035 section 3.2.2). Without it, the AD bit is
  // asked for (RFC 6840 section 5.7).
  bool unchecked = false;
  // The records that prove the answer, too (DO, RFC 3225).
  bool with_proofs = false;
};

// The message, with 0 as its id; at most 512 bytes. Nullopt: DNS has no such
// name (an empty label, one over 63 bytes, a name over 255 bytes).
std::optional<std::string> EncodeDnsQuery(const DnsQuery& query);

// True: `message` is a reply with the id and the question of `query`. An error
// reply may come without the question.
bool IsReplyTo(std::string_view query, std::string_view message);

// True: the reply did not fit its datagram (the TC bit). `message`: one for
// which IsReplyTo() holds.
bool IsTruncated(std::string_view message);

}  // namespace postern
