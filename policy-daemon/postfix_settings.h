// PostfixSettings: how Postfix is configured, by the word of postconf(1).
//
// postconf honours MAIL_CONFIG, so another instance is asked about by
// `MAIL_CONFIG=/etc/postfix-out postern-policy ...`. What counts is judged by
// the values in effect; what is edited are the texts in main.cf, in which
// $names are not replaced.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/postfix_version.h"
#include "common/result.h"

namespace postern {

// A line of master.cf.
struct PostfixService {
  std::string name;     // "smtp/unix"
  std::string chroot;   // "y", "n" or "-"
  std::string command;  // "smtp"
  std::string line;     // all of it, with one blank between its words
  // -o NAME=VALUE, with the $names in a VALUE replaced.
  std::map<std::string, std::string> overrides;
};

struct PostfixSettings {
  std::string version_text;  // "3.7.11"; empty: no Postfix here
  PostfixVersion version;
  std::map<std::string, std::string> effective;
  std::map<std::string, std::string> explicit_values;  // of main.cf alone
  std::vector<PostfixService> services;
  std::string system_ca_file;     // the machine's authorities; "": none found
  size_t system_authorities = 0;  // in it
  // Other files that smtp_tls_CAfile names, in main.cf or for a service.
  struct CaFile {
    bool is_there = false;
    size_t missing = 0;  // authorities of the machine that it lacks
  };
  std::map<std::string, CaFile> ca_files;  // by path; only what can be read

  bool is_there() const { return !version_text.empty(); }
  // "" for what it does not know.
  std::string Effective(const std::string& name) const;
  // As in main.cf; nullopt: it does not stand there.
  std::optional<std::string> Explicit(const std::string& name) const;
  const PostfixService* Service(const std::string& name) const;
  // Does smtp(8), or lmtp(8), run chrooted in one service? And outside of it in
  // one? Both may be.
  bool smtp_is_chrooted() const { return HasSmtp(true); }
  bool smtp_is_outside() const { return HasSmtp(false); }
  std::string queue_directory() const { return Effective("queue_directory"); }
  std::string config_directory() const { return Effective("config_directory"); }

 private:
  bool HasSmtp(bool chrooted) const;
};

// Of a machine without Postfix, empty ones; an Error where postconf is there
// and fails.
Result<PostfixSettings> ReadPostfixSettings();

// Pure: what the parts are made of. `effective` and `given`: lines of
// "name = value"; `services`: of postconf -M; `overrides`: of postconf -P.
PostfixSettings ParsePostfixSettings(const std::string& effective,
                                     const std::string& given,
                                     const std::string& services,
                                     const std::string& overrides = "");

// Pure: the certificates of a PEM file, in a form that can be compared.
std::set<std::string> CertificatesIn(std::string_view pem);

// With one blank between its words.
std::string WithSingleBlanks(std::string_view line);

}  // namespace postern
