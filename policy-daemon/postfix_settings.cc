#include "policy-daemon/postfix_settings.h"

#include <algorithm>
#include <cerrno>
#include <fstream>

#include <unistd.h>

#include "common/run_program.h"
#include "common/text.h"

namespace postern {
namespace {

// The fields of a service before its command and that command's arguments.
constexpr size_t kFields = 7;

// Debian's, and where others have theirs.
std::string SystemCaFile() {
  for (const char* path :
       {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/cert.pem",
        "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"})
    if (access(path, R_OK) == 0) return path;
  return "";
}

std::map<std::string, std::string> ParseNameValues(std::string_view text) {
  std::map<std::string, std::string> values;
  for (std::string_view line : SplitList(text, "\n")) {
    const size_t equals = line.find('=');
    if (equals == line.npos) continue;
    values[std::string(TrimBlanks(line.substr(0, equals)))] =
        TrimBlanks(line.substr(equals + 1));
  }
  return values;
}

std::optional<PostfixService> ParseService(std::string_view text) {
  const auto words = SplitList(text, " \t");
  if (words.size() <= kFields) return std::nullopt;
  PostfixService service;
  service.name = std::string(words[0]) + "/" + std::string(words[1]);
  service.chroot = words[4];
  service.command = words[kFields];
  service.line = WithSingleBlanks(text);
  return service;
}

// Ten times the authorities of the world.
constexpr std::streamsize kMaxCaFile = 4 << 20;

// nullopt: it cannot be read by whoever we are.
std::optional<std::string> ReadCaFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(kMaxCaFile, '\0');
  file.read(text.data(), kMaxCaFile);
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

void LookAtCaFiles(PostfixSettings& settings) {
  settings.system_ca_file = SystemCaFile();
  if (settings.system_ca_file.empty()) return;
  std::set<std::string> paths = {settings.Effective("smtp_tls_CAfile")};
  for (const PostfixService& service : settings.services)
    if (const auto found = service.overrides.find("smtp_tls_CAfile");
        found != service.overrides.end())
      paths.insert(found->second);
  paths.erase("");
  paths.erase(settings.system_ca_file);
  const std::set<std::string> ours =
      CertificatesIn(ReadCaFile(settings.system_ca_file).value_or(""));
  settings.system_authorities = ours.size();
  for (const std::string& path : paths) {
    PostfixSettings::CaFile file;
    file.is_there = access(path.c_str(), F_OK) == 0 || errno != ENOENT;
    const auto text = ReadCaFile(path);
    if (file.is_there && !text) continue;
    const std::set<std::string> theirs = CertificatesIn(text.value_or(""));
    file.missing = static_cast<size_t>(std::count_if(
        ours.begin(), ours.end(),
        [&](const std::string& one) { return !theirs.contains(one); }));
    settings.ca_files[path] = file;
  }
}

}  // namespace

std::set<std::string> CertificatesIn(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
  std::set<std::string> certificates;
  for (size_t at = 0; (at = pem.find(kBegin, at)) != pem.npos;) {
    at += kBegin.size();
    const size_t end = pem.find(kEnd, at);
    if (end == pem.npos) break;
    std::string base64;
    for (const char c : pem.substr(at, end - at))
      if (c != '\n' && c != '\r' && c != ' ' && c != '\t') base64 += c;
    certificates.insert(std::move(base64));
    at = end;
  }
  return certificates;
}

std::string WithSingleBlanks(std::string_view line) {
  std::string text;
  for (std::string_view word : SplitList(line, " \t\r\n"))
    text += (text.empty() ? "" : " ") + std::string(word);
  return text;
}

std::string PostfixSettings::Effective(const std::string& name) const {
  const auto found = effective.find(name);
  return found == effective.end() ? "" : found->second;
}

std::optional<std::string> PostfixSettings::Explicit(
    const std::string& name) const {
  const auto found = explicit_values.find(name);
  if (found == explicit_values.end()) return std::nullopt;
  return found->second;
}

const PostfixService* PostfixSettings::Service(const std::string& name) const {
  for (const PostfixService& service : services)
    if (service.name == name) return &service;
  return nullptr;
}

bool PostfixSettings::HasSmtp(bool chrooted) const {
  // Left open: not since 3.0, but for who keeps the ways of before.
  const bool open = Effective("compatibility_level") == "0";
  for (const PostfixService& service : services) {
    if (service.command != "smtp" && service.command != "lmtp") continue;
    const bool is = service.chroot == "-" ? open : service.chroot == "y";
    if (is == chrooted) return true;
  }
  return false;
}

PostfixSettings ParsePostfixSettings(const std::string& effective,
                                     const std::string& given,
                                     const std::string& services,
                                     const std::string& overrides) {
  PostfixSettings settings;
  settings.effective = ParseNameValues(effective);
  settings.explicit_values = ParseNameValues(given);
  settings.version_text = settings.Effective("mail_version");
  settings.version =
      PostfixVersion::Parse(settings.version_text).value_or(PostfixVersion());
  for (std::string_view line : SplitList(services, "\n"))
    if (auto service = ParseService(line))
      settings.services.push_back(std::move(*service));
  for (const auto& [place, value] : ParseNameValues(overrides)) {
    const size_t slash = place.rfind('/');
    if (slash == place.npos) continue;
    for (PostfixService& service : settings.services)
      if (service.name == place.substr(0, slash))
        service.overrides[place.substr(slash + 1)] = value;
  }
  return settings;
}

Result<PostfixSettings> ReadPostfixSettings() {
  if (!ProgramPath("postconf")) return PostfixSettings();
  const auto effective = OutputOf({"postconf", "-x"});
  if (!effective) return effective.error();
  const auto given = OutputOf({"postconf", "-n"});
  if (!given) return given.error();
  const auto services = OutputOf({"postconf", "-M"});
  if (!services) return services.error();
  const auto overrides = OutputOf({"postconf", "-P", "-x"});
  if (!overrides) return overrides.error();
  PostfixSettings settings =
      ParsePostfixSettings(*effective, *given, *services, *overrides);
  LookAtCaFiles(settings);
  return settings;
}

}  // namespace postern
