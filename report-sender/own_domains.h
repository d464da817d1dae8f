// OwnDomains: the domains whose mail the Postfix beside us takes for its own.
//
// Why: a stranger's TLSRPT record may name any address, and what goes through
// sendmail(1) is trusted mail from inside: the rules for mail from outside
// (restricted lists, content checks) do not see it. So nobody from outside gets
// reports into our own house; reports about a domain of ours may go there.
//
// What counts: what the configuration names (contact, sender, host), and
// Postfix's mydestination, virtual_alias_domains, virtual_mailbox_domains and
// relay_domains, each with its subdomains. Their tables are asked by
// postmap(1), once a name; one that fails is not asked again until the next
// reload.
//
// Contract: loop thread only. Has() may block for some milliseconds a table.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace postern {

class OwnDomains {
 public:
  // Whether the table, such as "hash:/etc/postfix/virtual", has the key.
  using Lookup = std::function<Result<bool>(const std::string& table,
                                            const std::string& key)>;

  OwnDomains() = default;
  explicit OwnDomains(Lookup lookup) : lookup_(std::move(lookup)) {}

  // A domain; what is none is ignored.
  void Add(std::string_view domain);
  // The value of a parameter as postconf(1) prints it: domains, "!domain" and
  // tables, parted by commas or blanks.
  void AddList(std::string_view value);

  // `domain` in normal form.
  bool Has(const std::string& domain);

 private:
  bool HasExactly(const std::string& domain);

  std::map<std::string, bool, std::less<>> known_;  // by what was asked
  std::vector<std::string> tables_;
  Lookup lookup_;
};

}  // namespace postern
