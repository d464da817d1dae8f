#include "tests/support/policy_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <sqlite3.h>

namespace postern {
namespace {

namespace fs = std::filesystem;

ssize_t FailToRead(int, void*, size_t, off_t) {
  errno = EACCES;
  return -1;
}

// Null: SQLite's own.
void SetPread(sqlite3_syscall_ptr call) {
  sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
  int set = 0;  // which of them there is depends on how it was built
  for (const char* name : {"pread", "pread64"})
    set += vfs->xSetSystemCall(vfs, name, call) == SQLITE_OK;
  EXPECT_GT(set, 0);
}

}  // namespace

PolicyFolder::PolicyFolder()
    : folder_(testing::TempDir() + "/postern-policies-XXXXXX") {
  EXPECT_NE(mkdtemp(folder_.data()), nullptr);
}

PolicyFolder::~PolicyFolder() {
  std::error_code none;
  fs::remove_all(folder_, none);
}

void PolicyFolder::TakeFrom(const PolicyFolder& other,
                            bool with_shared_memory) {
  for (const char* part : {"", "-wal", "-shm"}) {
    fs::remove(path() + part);
    if (std::string_view(part) == "-shm" && !with_shared_memory) continue;
    if (fs::exists(other.path() + part))
      fs::copy_file(other.path() + part, path() + part);
  }
}

std::vector<std::string> PolicyFolder::SetAside() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().string();
    if (name.find(".unreadable-") != std::string::npos &&
        !name.ends_with("-wal") && !name.ends_with("-shm"))
      names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string PolicyFolder::Read() const {
  std::ifstream file(path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void PolicyFolder::Write(const std::string& bytes) {
  std::ofstream(path(), std::ios::binary) << bytes;
}

void PolicyFolder::Sql(const std::string& sql) {
  sqlite3* db = nullptr;
  sqlite3_open(path().c_str(), &db);
  char* error = nullptr;
  sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error);
  EXPECT_EQ(error, nullptr) << error << " in " << sql;
  sqlite3_free(error);
  sqlite3_close(db);
}

int64_t PolicyFolder::SqlNumber(const std::string& sql) {
  sqlite3* db = nullptr;
  sqlite3_open(path().c_str(), &db);
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr);
  EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW) << sql;
  const int64_t number = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return number;
}

FileStore::FileStore(Settings settings, Metrics& metrics)
    : table({settings.max_policies, settings.max_bytes}),
      file_(settings.path, metrics) {
  loaded_ = file_.Load(table);
  table.Tick(Seconds(1000), kNow + Seconds(7 * 3600));
}

StsMemory FileStore::Find(const std::string& domain) {
  StsMemory memory = table.Find(domain);
  memory.unread = !loaded_ && !memory.policy;
  return memory;
}

std::vector<std::string> FileStore::Poll() {
  std::vector<std::string> domains;
  if (!loaded_) {
    PolicyTable read({});
    loaded_ = file_.Load(read);
    table.Merge(read);
    table.Tick(Seconds(1000), kNow + Seconds(7 * 3600));
  }
  // After a purge or a new file, once more.
  for (int i = 0; loaded_ && i < 2; ++i) {
    const std::vector<PolicyRow> rows = table.TakeChanges(1000000);
    const PolicyFile::Outcome outcome = file_.Write(rows, /*is_all=*/true);
    for (const Purged& purged : outcome.purged) {
      domains.push_back(purged.domain);
      table.Purge(purged.domain, purged.at, kNow + Seconds(30 * 86400));
    }
    if (!outcome.written) table.GiveBack(rows);
    if (outcome.replaced) table.MarkAllChanged();
    if (outcome.purged.empty() && !outcome.replaced) break;
  }
  return domains;
}

StoredPolicy SomePolicy(const std::string& mx, const std::string& id,
                        Seconds max_age) {
  StoredPolicy stored;
  auto policy =
      ParseStsPolicy("version: STSv1\nmode: enforce\nmx: " + mx +
                     "\nmax_age: " + std::to_string(max_age.count()) + "\n");
  stored.policy = std::make_shared<const StsPolicy>(std::move(*policy));
  stored.id = id;
  stored.fetched_at = kNow;
  stored.expires_at = kNow + max_age;
  stored.refetch_at = kNow + max_age / 2;
  stored.check_at = kNow + max_age / 24;
  stored.used_at = kNow + Seconds(7);
  return stored;
}

FailedFetch SomeFailure(const std::string& id) {
  return {id, kNow, kNow + Seconds(300), 2, "connection refused"};
}

std::string Told(const StsMemory& memory) {
  std::string text;
  const auto time = [&](const char* name, WallTime at) {
    text += name + std::to_string((at - kNow).count());
  };
  if (memory.policy) {
    text += "policy";
    for (const auto& [name, value] : memory.policy->policy->fields)
      text += " " + name + "=" + value;
    text += " id=" + memory.policy->id;
    time(" fetched=", memory.policy->fetched_at);
    time(" expires=", memory.policy->expires_at);
    time(" refetch=", memory.policy->refetch_at);
    time(" check=", memory.policy->check_at);
    time(" used=", memory.policy->used_at);
  }
  if (memory.failure) {
    text += " failure id=" + memory.failure->id;
    time(" first=", memory.failure->first_at);
    time(" last=", memory.failure->last_at);
    text += " tries=" + std::to_string(memory.failure->tries) + " " +
            memory.failure->reason;
  }
  return text.empty() ? "nothing" : text;
}

UnreadableDisk::UnreadableDisk() {
  SetPread(reinterpret_cast<sqlite3_syscall_ptr>(FailToRead));
}

UnreadableDisk::~UnreadableDisk() { SetPread(nullptr); }

}  // namespace postern
