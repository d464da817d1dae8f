#include "report-sender/postfix_beside.h"

#include <algorithm>

#include <unistd.h>

#include "common/run_program.h"
#include "common/text.h"

namespace postern {
namespace {

// It takes 20 ms; a table may have to ask a server.
ProgramLimits Limits() {
  ProgramLimits limits;
  limits.patience = std::chrono::seconds(2);
  return limits;
}

std::string DomainPart(const std::string& address) {
  return address.substr(address.rfind('@') + 1);
}

std::vector<std::string> TablesIn(std::string_view value) {
  std::vector<std::string> tables = PostfixList(value);
  std::erase_if(tables, [](const std::string& word) {
    return word.find(':') == word.npos || word.starts_with('!');
  });
  return tables;
}

}  // namespace

std::vector<std::string> PostfixList(std::string_view value) {
  std::vector<std::string> words(1);
  int depth = 0;
  for (const char c : value) {
    depth += c == '{' ? 1 : c == '}' ? -1 : 0;
    if (depth <= 0 && (c == ',' || c == ' ' || c == '\t' || c == '\n'))
      words.emplace_back();
    else
      words.back() += c;
  }
  std::erase(words, "");
  return words;
}

PostfixBeside::PostfixBeside(const std::string& sendmail)
    : folder_(sendmail.substr(0, sendmail.rfind('/') + 1)) {}

std::string PostfixBeside::Program(const std::string& name) const {
  const std::string beside = folder_ + name;
  return access(beside.c_str(), X_OK) == 0 ? beside : name;
}

std::optional<PostfixVersion> PostfixBeside::Version() const {
  // The default is what it is, and to ask for it takes no main.cf.
  const auto version =
      OutputOf({Program("postconf"), "-d", "-h", "mail_version"}, Limits());
  return version ? PostfixVersion::Parse(*version) : std::nullopt;
}

std::string PostfixBeside::Value(const std::string& parameter) const {
  const auto value =
      OutputOf({Program("postconf"), "-x", "-h", parameter}, Limits());
  return value ? *value : "";
}

Result<std::string> PostfixBeside::Find(const std::string& table,
                                        const std::string& key) const {
  // proxymap is for Postfix's own processes; the table behind it is not.
  std::string direct = table;
  while (direct.starts_with("proxy:")) direct.erase(0, 6);
  const auto output =
      RunProgram({Program("postmap"), "-q", key, direct}, Limits());
  if (!output) return output.error();
  // postmap(1): "zero status: found; otherwise not", and a failure says why.
  if (output->ok()) return output->out.substr(0, output->out.find('\n'));
  if (output->err.empty()) return std::string();
  return Error{Printable(output->err)};
}

Result<bool> PostfixBeside::Has(const std::string& table,
                                const std::string& key) const {
  const auto found = Find(table, key);
  if (!found) return found.error();
  return !found->empty();
}

bool PostfixBeside::AsksNoPolicyFor(const std::string& sender) const {
  const auto tables =
      TablesIn(Value("sender_dependent_default_transport_maps"));
  for (const std::string& table : tables) {
    auto transport = Find(table, sender);
    if (transport && transport->empty())
      transport = Find(table, "@" + DomainPart(sender));
    if (!transport || transport->empty()) continue;
    const std::string service = transport->substr(0, transport->find(':'));
    const auto maps = OutputOf(
        {Program("postconf"), "-P", service + "/unix/smtp_tls_policy_maps"},
        Limits());
    // "postern-reports/unix/smtp_tls_policy_maps = "
    return maps && !maps->empty() &&
           maps->find_first_not_of(" \t\n", maps->find('=') + 1) == maps->npos;
  }
  return false;
}

std::vector<std::string> PostfixBeside::RewritersOf(
    const std::string& address) const {
  std::vector<std::string> rewriters;
  const std::string domain = DomainPart(address);
  const std::string local = address.substr(0, address.rfind('@'));
  // ADDRESS_REWRITING_README: the first entry that is the domain or a parent
  // of it counts; "!" leaves it alone.
  for (const std::string& word : PostfixList(Value("masquerade_domains"))) {
    const std::string name = ToLowerAscii(word.substr(word[0] == '!' ? 1 : 0));
    if (domain != name && !domain.ends_with("." + name)) continue;
    const auto except = PostfixList(Value("masquerade_exceptions"));
    if (word[0] != '!' && domain != name &&
        std::find(except.begin(), except.end(), local) == except.end())
      rewriters.push_back("masquerade_domains");
    break;
  }
  for (const char* parameter :
       {"canonical_maps", "sender_canonical_maps", "smtp_generic_maps"}) {
    bool rewrites = false;
    for (const std::string& table : TablesIn(Value(parameter)))
      for (const std::string& key : {address, "@" + domain}) {
        const auto found =
            rewrites ? Result<std::string>(std::string()) : Find(table, key);
        // One that gives the same address changes nothing.
        rewrites = rewrites || (found && !found->empty() && *found != address &&
                                *found != "@" + domain);
      }
    if (rewrites) rewriters.emplace_back(parameter);
  }
  return rewriters;
}

}  // namespace postern
