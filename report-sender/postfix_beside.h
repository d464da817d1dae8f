// The Postfix whose sendmail(1) takes our mails, asked by its own programs.
//
// Where there is none, or it does not answer, nothing is known of it: callers
// go on without. Blocks, for some milliseconds a question.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/postfix_version.h"
#include "common/result.h"

namespace postern {

// The words of a parameter's value, parted by commas or blanks; what stands in
// braces ("inline:{a=b, c=d}") is not cut.
std::vector<std::string> PostfixList(std::string_view value);

class PostfixBeside {
 public:
  // `sendmail`: the path of report.sendmail.
  explicit PostfixBeside(const std::string& sendmail);

  // As its postconf -d says.
  std::optional<PostfixVersion> Version() const;
  // The value, with what it refers to; "" where it is not known.
  std::string Value(const std::string& parameter) const;
  // Whether a table has a key: postmap -q.
  Result<bool> Has(const std::string& table, const std::string& key) const;
  // What it has there; "" for nothing.
  Result<std::string> Find(const std::string& table,
                           const std::string& key) const;

  // Whether mail from `sender` has a transport of its own that asks no policy,
  // as setup makes one: its sessions are in no log of policies.
  bool AsksNoPolicyFor(const std::string& sender) const;

  // The parameters that rewrite `address` in the From field of a mail that
  // sendmail(1) takes, which breaks the signature that it bears.
  std::vector<std::string> RewritersOf(const std::string& address) const;

 private:
  std::string Program(const std::string& name) const;

  std::string folder_;  // of sendmail, with the last '/'
};

}  // namespace postern
