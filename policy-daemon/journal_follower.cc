#include "policy-daemon/journal_follower.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <systemd/sd-journal.h>

#include "common/text.h"

namespace postern {

void JournalFollower::Close::operator()(sd_journal* journal) const {
  sd_journal_close(journal);
}

JournalFollower::JournalFollower(std::string directory,
                                 std::string position_path)
    : directory_(std::move(directory)),
      position_path_(std::move(position_path)),
      cursor_(ReadPositionFile(position_path_)) {
  if (cursor_.ends_with('\n')) cursor_.pop_back();
  Failed(Open(), "open");
}

bool JournalFollower::Failed(int result, const char* what) {
  if (result >= 0) return false;
  problem_ = std::string("the journal: cannot ") + what + ": " +
             std::strerror(-result);
  journal_.reset();
  return true;
}

int JournalFollower::Open() {
  sd_journal* journal = nullptr;
  int result = directory_.empty()
                   ? sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY)
                   : sd_journal_open_directory(&journal, directory_.c_str(), 0);
  if (result < 0) return result;
  journal_.reset(journal);
  // It opens without an error where none of its files may be read.
  if (sd_journal_has_runtime_files(journal) <= 0 &&
      sd_journal_has_persistent_files(journal) <= 0)
    return -EACCES;
  problem_.clear();
  result = sd_journal_add_match(journal, "_COMM=smtp", 0);
  if (result >= 0) result = sd_journal_set_data_threshold(journal, kMaxLogLine);
  // From here on, new entries are noticed.
  if (result >= 0) result = sd_journal_get_fd(journal);
  return result < 0 ? result : Seek();
}

int JournalFollower::Seek() {
  sd_journal* journal = journal_.get();
  if (!cursor_.empty()) {
    int result = sd_journal_seek_cursor(journal, cursor_.c_str());
    if (result >= 0) {
      // That entry has been taken. If it is gone, this is the one behind it.
      result = sd_journal_next(journal);
      if (result > 0 && sd_journal_test_cursor(journal, cursor_.c_str()) <= 0)
        result = sd_journal_seek_cursor(journal, cursor_.c_str());
      return result;
    }
    if (result != -EINVAL) return result;  // no cursor: as if there were none
  }
  int result = sd_journal_seek_tail(journal);
  if (result >= 0) result = sd_journal_previous(journal);
  // There is no entry yet: at the tail, none would ever follow.
  return result == 0 ? sd_journal_seek_head(journal) : result;
}

bool JournalFollower::ReadSome(SteadyTime now, const Take& take) {
  if (!journal_) {
    if (now < open_at_) return false;
    open_at_ = now + kReopenInterval;
    if (Failed(Open(), "open")) return false;
  }
  // Takes notice of new files.
  if (Failed(sd_journal_process(journal_.get()), "follow")) return false;
  int result = 1;
  for (int i = 0; i < kAtOnce; ++i) {
    result = sd_journal_next(journal_.get());
    if (result <= 0) break;
    TakeEntry(take);
  }
  if (Failed(result, "read")) return false;
  if (now - saved_at_ >= kSaveInterval) {
    Save();
    saved_at_ = now;
  }
  return result > 0;
}

void JournalFollower::TakeEntry(const Take& take) {
  char* cursor = nullptr;
  if (sd_journal_get_cursor(journal_.get(), &cursor) >= 0) {
    cursor_ = cursor;
    std::free(cursor);
    saved_ = false;
  }
  LogRecord::Sender sender;
  const auto pid = ParseUint(Field("_PID"), UINT32_MAX);
  auto at = ParseUint(Field("_SOURCE_REALTIME_TIMESTAMP"), INT64_MAX);
  if (uint64_t received = 0;
      !at && sd_journal_get_realtime_usec(journal_.get(), &received) >= 0)
    at = received;
  const std::string tag(Field("SYSLOG_IDENTIFIER"));
  if (!pid || !at || !IsSmtpTag(tag)) return;
  sender.pid = static_cast<uint32_t>(*pid);
  sender.at = LogTime(std::chrono::microseconds(*at));
  sender.tag = tag;
  const std::string_view message = Field("MESSAGE");
  if (message.size() <= kMaxLogLine) take({message, sender});
}

std::string_view JournalFollower::Field(const char* name) {
  const void* data = nullptr;
  size_t size = 0;
  if (sd_journal_get_data(journal_.get(), name, &data, &size) < 0) return "";
  // "NAME=value"
  const size_t prefix = std::strlen(name) + 1;
  if (size < prefix) return "";
  return {static_cast<const char*>(data) + prefix, size - prefix};
}

void JournalFollower::Save() {
  if (saved_) return;
  save_problem_ = WritePositionFile(position_path_, cursor_ + "\n");
  saved_ = save_problem_.empty();
}

}  // namespace postern
