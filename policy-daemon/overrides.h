// Overrides: the administrator's own word on single destinations
// (policy.overrides). One destination a line, blanks between the words:
//
//   # from '#' at a word's beginning, the rest of a line is a comment
//   example.com           off          NOTFOUND: Postfix goes on by itself
//   example.com           plaintext    no TLS
//   example.com           may          or encrypt, dane, dane-only
//   example.com           verify       match=mail.example.com:.example.net
//   example.com           secure       match=nexthop servername=hostname
//   example.com           fingerprint  match=AA:BB:...|CC:DD:...
//   example.com           sts-off      look up, but for MTA-STS
//   example.com           dane-off     look up, but for DANE; both may stand
//   .example.com          ...          every name below, not the name itself
//   [mx.example.com]:587  ...          this key alone
//
// Behind a level stand attributes of Postfix's smtp_tls_policy_maps, those
// that every Postfix from 3.4 knows. Why so strict: one fault in a reply stops
// all mail to the destination, so what Postfix would refuse is an error here,
// before the file is used.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

#include "common/result.h"

#include "policy-daemon/answer_table.h"
#include "policy-daemon/policy_key.h"

namespace postern {

inline constexpr size_t kMaxOverridesBytes = size_t{64} << 20;
inline constexpr size_t kMaxOverridesLine = 4096;

// What one line says.
struct Override {
  // The netstring to write, the same in every dialect. Empty: a lookup goes
  // on, without what is off below.
  std::string reply;
  ReplyKind kind = ReplyKind::kOverride;  // kNotFound for "off"
  // What the reply makes Postfix do.
  AnsweredPolicy::Demand demand = AnsweredPolicy::Demand::kNothing;
  PolicyType policy_type = PolicyType::kNoPolicyFound;
  bool sts_off = false;
  bool dane_off = false;
  uint32_t line = 0;  // where it stands, for people
};

class Overrides {
 public:
  // `file` is for messages alone. An Error names file and line, and is
  // printable whatever stands there.
  static Result<Overrides> Parse(std::string_view text, const std::string& file,
                                 const ServicePorts& services);

  bool empty() const { return lines_.empty(); }
  size_t size() const { return lines_.size(); }

  // The line for `key`: its own, else its domain's (brackets and port off),
  // else that of the nearest parent. Null without one, and for any text that
  // is not in the spelling of PolicyKey::ToString(): parse it, then ask again.
  // Allocates nothing. The pointer holds as long as these overrides.
  const Override* Find(std::string_view key) const;

 private:
  struct Hash {
    using is_transparent = void;
    using is_avalanching = void;
    size_t operator()(std::string_view text) const {
      return boost::hash<std::string_view>()(text);
    }
  };

  Status AddLine(std::string_view text, uint32_t number,
                 const ServicePorts& services);
  const Override* FindLine(std::string_view name) const;

  // By key, or by ".parent", which no key looks like.
  boost::unordered_flat_map<std::string, Override, Hash, std::equal_to<>>
      lines_;
  bool has_parents_ = false;
};

// Reads `path`; blocks. "" gives no overrides.
Result<Overrides> LoadOverrides(const std::string& path,
                                const ServicePorts& services);

}  // namespace postern
