#include "policy-daemon/wiring_record.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_descriptor.h"
#include "common/json_text.h"
#include "common/json_tree.h"
#include "common/text.h"

#include "policy-daemon/our_entries.h"
#include "policy-daemon/postfix_files.h"
#include "policy-daemon/setting_list.h"

namespace postern {
namespace {

constexpr uint64_t kVersion = 1;
// Some 20 settings, of which lists may be long.
constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxChanges = 100;
constexpr size_t kMaxEarlier = 10000;
constexpr char kMainCf[] = "main.cf";
constexpr char kMasterCf[] = "master.cf";

// What setup changes, and nothing else may stand in a record.
constexpr std::array kParameters = {"smtp_tls_security_level",
                                    "smtp_dns_support_level",
                                    "smtp_tls_dane_insecure_mx_policy",
                                    "smtp_tls_CAfile",
                                    "smtp_tls_loglevel",
                                    "smtp_tls_policy_maps",
                                    "smtp_tlsrpt_enable",
                                    "smtp_tlsrpt_socket_name",
                                    "smtpd_milters",
                                    "sender_dependent_default_transport_maps"};
constexpr std::array kServices = {"tlsproxy/unix", kReportService};

bool IsName(const Change& change) {
  const auto is_it = [&](const char* name) { return change.name == name; };
  return change.file == Change::File::kMainCf
             ? std::any_of(kParameters.begin(), kParameters.end(), is_it)
             : std::any_of(kServices.begin(), kServices.end(), is_it);
}

bool IsOneLine(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t';
  });
}

class Reader {
 public:
  std::optional<Change> Read(const JsonValue& value) {
    if (!value.IsObject()) return std::nullopt;
    Change change;
    const auto file = Text(value, "file");
    const auto name = Text(value, "name");
    const auto entry = Text(value, "entry");
    if (!file || !name || !entry || (*file != kMainCf && *file != kMasterCf) ||
        !Value(value, "before", change.before) ||
        !Value(value, "after", change.after))
      return std::nullopt;
    change.file =
        *file == kMainCf ? Change::File::kMainCf : Change::File::kMasterCf;
    change.name = *name;
    change.entry = *entry;
    if (!IsName(change)) return std::nullopt;
    return change;
  }

  static std::optional<std::string> LineOf(const JsonValue& value) {
    if (!value.IsString()) return std::nullopt;
    std::string text(value.GetString(), value.GetStringLength());
    if (!IsOneLine(text)) return std::nullopt;
    return text;
  }

 private:
  static std::optional<std::string> Text(const JsonValue& value,
                                         const char* name) {
    const auto found = value.FindMember(name);
    if (found == value.MemberEnd()) return std::nullopt;
    return LineOf(found->value);
  }

  // Null counts as nullopt.
  static bool Value(const JsonValue& value, const char* name,
                    std::optional<std::string>& to) {
    const auto found = value.FindMember(name);
    if (found == value.MemberEnd()) return false;
    if (found->value.IsNull()) return true;
    to = Text(value, name);
    return to.has_value();
  }
};

void PutValue(JsonText& json, const std::optional<std::string>& value) {
  if (value)
    json.Put("\"", *value);
  else
    json.Put("null");
}

// What to go back to: of what the administrator has changed since, his.
std::optional<std::string> BeforeOf(const Change& recorded,
                                    const Change& change,
                                    const std::vector<std::string>& ours) {
  if (change.before == recorded.before || change.before == recorded.after)
    return recorded.before;
  if (recorded.entry.empty() || !change.before) return change.before;
  return Without(*change.before, [&](std::string_view entry) {
    return std::find(ours.begin(), ours.end(), entry) != ours.end();
  });
}

}  // namespace

std::vector<std::string> WiringRecord::Entries() const {
  std::vector<std::string> entries = earlier;
  for (const Change& change : changes)
    if (!change.entry.empty()) entries.push_back(change.entry);
  return entries;
}

const Change* WiringRecord::Find(const Change& like) const {
  for (const Change& change : changes)
    if (change.file == like.file && change.name == like.name) return &change;
  return nullptr;
}

std::string WiringRecord::ToJson() const {
  std::string text;
  {
    JsonText json(text);
    json.Put("{\"version\":", kVersion);
    json.PutList(",\"changes\":[", changes, [&](const Change& change) {
      json.Put("\n{\"file\":\"", change.file == Change::File::kMainCf
                                     ? std::string_view(kMainCf)
                                     : std::string_view(kMasterCf));
      json.Put(",\"name\":\"", change.name);
      json.Put(",\"before\":");
      PutValue(json, change.before);
      json.Put(",\"after\":");
      PutValue(json, change.after);
      json.Put(",\"entry\":\"", change.entry);
      json.Put("}");
    });
    json.PutList(",\"earlier\":[", earlier,
                 [&](const std::string& entry) { json.Put("\n\"", entry); });
    json.Put("}\n");
  }
  return text;
}

Result<WiringRecord> WiringRecord::Parse(std::string json) {
  while (!json.empty() && json.back() == '\n') json.pop_back();
  const size_t length = json.size();
  json.resize(length + kAfterJson, '\0');
  JsonPool pool;
  ShallowJson tree(pool);
  if (!tree.Read(json.data(), length) || !tree.IsObject())
    return Error{"it is no JSON object"};
  const auto version = tree.FindMember("version");
  if (version == tree.MemberEnd() || !version->value.IsInt64() ||
      version->value.GetInt64() != static_cast<int64_t>(kVersion))
    return Error{"it is of another version of Postern"};
  const auto changes = tree.FindMember("changes");
  if (changes == tree.MemberEnd() || !changes->value.IsArray() ||
      changes->value.Size() > kMaxChanges)
    return Error{"it has no list of changes"};
  WiringRecord record;
  for (const JsonValue& value : changes->value.GetArray()) {
    auto change = Reader().Read(value);
    if (!change || record.Find(*change))
      return Error{"a change in it is none that setup makes"};
    record.changes.push_back(std::move(*change));
  }
  const auto earlier = tree.FindMember("earlier");
  if (earlier == tree.MemberEnd() || !earlier->value.IsArray() ||
      earlier->value.Size() > kMaxEarlier)
    return Error{"it has no list of earlier entries"};
  for (const JsonValue& value : earlier->value.GetArray()) {
    auto entry = Reader::LineOf(value);
    if (!entry) return Error{"an earlier entry in it is no line"};
    record.earlier.push_back(std::move(*entry));
  }
  return record;
}

WiringRecord Merged(std::optional<WiringRecord> record,
                    const std::vector<Change>& changes) {
  WiringRecord merged = std::move(record).value_or(WiringRecord());
  for (Change change : changes) {
    change.why.clear();
    const auto recorded = std::find_if(
        merged.changes.begin(), merged.changes.end(), [&](const Change& one) {
          return one.file == change.file && one.name == change.name;
        });
    if (recorded == merged.changes.end()) {
      merged.changes.push_back(std::move(change));
    } else {
      change.before = BeforeOf(*recorded, change, merged.Entries());
      const bool is_other =
          !recorded->entry.empty() && recorded->entry != change.entry;
      if (is_other) merged.earlier.push_back(recorded->entry);
      *recorded = std::move(change);
    }
  }
  return merged;
}

std::string WiringRecordPath(const PostfixSettings& postfix) {
  return postfix.config_directory() + "/postern-setup.json";
}

Result<std::optional<WiringRecord>> ReadWiringRecord(const std::string& path) {
  const auto unusable = [&](const std::string& why) {
    return Error{path + " cannot be used: " + why +
                 "; look at it, and move it away"};
  };
  const FileDescriptor file(
      open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::optional<WiringRecord>();
  if (!file && errno == ELOOP) return unusable("it is a symbolic link");
  if (!file) return unusable(std::strerror(errno));
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return unusable(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return unusable("it is no file");
  if (status.st_uid != 0 && status.st_uid != geteuid())
    return unusable("it is not root's");
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return unusable("others may write it");
  auto text = ReadAll(file.get(), kMaxBytes);
  if (!text) return unusable(text.error().message);
  auto record = WiringRecord::Parse(std::move(*text));
  if (!record) return unusable(record.error().message);
  return std::optional(std::move(*record));
}

Status WriteWiringRecord(const std::string& path, const WiringRecord& record) {
  return WriteDurably(path, record.ToJson(), FileOwner());
}

}  // namespace postern
