#include "policy-daemon/check_config.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "common/accounts.h"
#include "common/run_program.h"
#include "common/text.h"

#include "policy-daemon/configuration.h"
#include "policy-daemon/https_check.h"
#include "policy-daemon/maillog_line.h"
#include "policy-daemon/memory_bounds.h"
#include "policy-daemon/resolver_check.h"
#include "policy-daemon/wiring.h"
#include "policy-daemon/wiring_record.h"

namespace postern {
namespace {

int Fail(const std::string& message) {
  std::fprintf(stderr, "postern-policy: %s\n", message.c_str());
  return 2;
}

// serve makes the folder's last part, as root.
void CheckCacheDirectory(const std::string& path,
                         std::vector<std::string>& warnings) {
  const std::filesystem::path folder(path);
  std::error_code none;
  if (std::filesystem::is_directory(folder, none) ||
      (!std::filesystem::exists(folder, none) &&
       std::filesystem::is_directory(folder.parent_path(), none)))
    return;
  warnings.push_back("cache.directory: " + path +
                     " is no folder and cannot be made: policies would be "
                     "forgotten at every restart");
}

// The files that the configuration names, and by which key.
std::vector<std::pair<const char*, std::string>> FilesOf(
    const CommandLine& line) {
  const Options& options = line.options;
  std::vector<std::pair<const char*, std::string>> files = {
      {"the configuration", line.config_file},
      {"policy.overrides", options.policy.overrides},
      {"sts.ca_file", options.sts.ca_file},
      {"report.suppress", options.report.suppress},
      {"report.ca_file", options.report.ca_file}};
  if (options.tlsrpt.maillog != kSystemdJournal)
    files.emplace_back("tlsrpt.maillog", options.tlsrpt.maillog);
  for (const std::string& key : options.report.dkim_keys)
    files.emplace_back("report.dkim_key", key);
  std::erase_if(files, [](const auto& file) { return file.second.empty(); });
  return files;
}

// nullopt: nobody can say.
std::optional<bool> CanRead(const std::string& user, const std::string& path) {
  const auto tried =
      RunProgram({"runuser", "-u", user, "--", "test", "-r", path});
  if (!tried || tried->exit_status > 1) return std::nullopt;
  return tried->ok();
}

// Root reads everything; the daemons, and reloads of them, read as their users.
void CheckReadable(const CommandLine& line,
                   std::vector<std::string>& warnings) {
  const std::string& user = line.options.run.user;
  const std::string reporter = ReportAccount(line.options).user;
  if (geteuid() != 0 || user.empty()) return;
  for (const auto& [name, path] : FilesOf(line)) {
    const bool is_report = std::string_view(name).starts_with("report.");
    const std::string& reader = is_report ? reporter : user;
    if (CanRead(reader, path) == false)
      warnings.push_back(std::string(name) + ": " + reader + " cannot read " +
                         path + ": the next start, or reload, would fail");
  }
  if (reporter == user) return;
  // Who answers strangers is not to sign in our name.
  for (const std::string& key : line.options.report.dkim_keys)
    if (CanRead(user, key) == true)
      warnings.push_back("report.dkim_key: " + user + " can read " + key +
                         ", and so could whoever broke into postern-policy: "
                         "chown root:" +
                         reporter + " and chmod 0640 it");
}

// The units' ProtectHome= and PrivateTmp= (packaging/systemd).
void NoteHidden(const CommandLine& line, std::vector<std::string>& notes) {
  for (const auto& [name, path] : FilesOf(line))
    for (const char* folder :
         {"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"})
      if (path.starts_with(folder))
        notes.push_back(std::string(name) + ": " + path +
                        " is not seen by the package's systemd units, which "
                        "hide " +
                        folder + "; keep it in /etc/postern");
}

// A log of which no line can be read tells of no session.
void CheckMaillog(const std::string& path, std::vector<std::string>& warnings) {
  constexpr std::streamoff kTail = 256 * 1024;
  if (path.empty() || path == kSystemdJournal) return;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return;  // CheckReadable() tells
  const std::streamoff size = file.tellg();
  const bool cut = size > kTail;
  file.seekg(cut ? size - kTail : 0);
  std::string line;
  if (cut) std::getline(file, line);  // the rest of one
  std::string last;
  while (std::getline(file, line)) {
    if (IsMaillogForm(line)) return;
    if (!TrimBlanks(line).empty()) last = line;
  }
  if (!last.empty())
    warnings.push_back("tlsrpt.maillog: no line of " + path +
                       " can be read, the last is '" + Printable(last, 120) +
                       "': no session is seen; have it written as rsyslog "
                       "does by default, or set tlsrpt.maillog = journal");
}

// The plan for the Postfix that is here; without one, a warning.
WiringPlan PlanForThis(const Result<PostfixSettings>& postfix,
                       const Options& options) {
  WiringPlan plan;
  if (!postfix) {
    plan.warnings.push_back("Postfix: " + postfix.error().message);
    return plan;
  }
  if (!postfix->is_there()) {
    plan.warnings.push_back("no Postfix found (there is no postconf)");
    return plan;
  }
  std::printf("postfix: version %s, smtp(8) %s\n",
              Printable(postfix->version_text).c_str(),
              postfix->smtp_is_chrooted() ? "chrooted" : "not chrooted");
  const auto record = ReadWiringRecord(WiringRecordPath(*postfix));
  plan = PlanWiring(
      *postfix, options,
      record && *record ? (*record)->Entries() : std::vector<std::string>());
  if (!record) plan.warnings.push_back(record.error().message);
  return plan;
}

}  // namespace

int CheckConfig(const CommandLine& line) {
  const auto configuration = LoadConfiguration(line.options);
  if (!configuration) return Fail(configuration.error().message);
  const std::string& user = line.options.run.user;
  const std::string reporter = ReportAccount(line.options).user;
  const std::string& group = line.options.policy.socket_group;
  if ((!user.empty() && !getpwnam(user.c_str())) ||
      (!reporter.empty() && !getpwnam(reporter.c_str())) ||
      (!group.empty() && !getgrnam(group.c_str())))
    return Fail(
        "run.user, report.user or policy.socket_group names nobody on this "
        "machine");
  std::printf("configuration: %s: fine\n", line.config_file.empty()
                                               ? "(embedded defaults)"
                                               : line.config_file.c_str());
  const auto postfix = ReadPostfixSettings();
  WiringPlan plan = PlanForThis(postfix, line.options);
  CheckCacheDirectory(line.options.cache.directory, plan.warnings);
  CheckReadable(line, plan.warnings);
  CheckMaillog(line.options.tlsrpt.maillog, plan.warnings);
  NoteHidden(line, plan.notes);
  if (auto warning = UnitMemoryWarning(line.options))
    plan.warnings.push_back(std::move(*warning));
  if (line.options.dane.enabled)
    for (std::string& warning :
         ResolverWarnings(postfix ? *postfix : PostfixSettings(), line.options))
      plan.warnings.push_back(std::move(warning));
  for (std::string& warning :
       HttpsWarnings(postfix ? *postfix : PostfixSettings(), *configuration))
    plan.warnings.push_back(std::move(warning));
  for (const std::string& warning : plan.warnings)
    std::printf("warning: %s\n", Printable(warning, 500).c_str());
  for (const std::string& note : plan.notes)
    std::printf("note: %s\n", Printable(note, 500).c_str());
  const size_t changes = plan.changes.size();
  if (changes > 0)
    std::printf(
        "%zu setting%s of Postfix would change: postern-policy setup "
        "shows %s\n",
        changes, changes == 1 ? "" : "s", changes == 1 ? "it" : "them");
  std::fflush(stdout);
  std::_Exit(plan.warnings.empty() && changes == 0 ? 0 : 1);
}

}  // namespace postern
