#include "policy-daemon/spool_tail.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <sys/stat.h>

#include "common/spool_files.h"

namespace postern {

SpoolTail::SpoolTail(std::string directory, Day first)
    : directory_(std::move(directory)), day_(first) {}

std::optional<Outcome> SpoolTail::Next() {
  while (reader_ || Open()) {
    auto outcome = reader_->Next();
    if (outcome) return outcome;
    status_ = reader_->status();
    if (!status_) break;
    if (is_over_) {
      Close();
      continue;
    }
    // The writer left this file before it began the other. So what it has
    // written here is here, but maybe since we looked.
    is_over_ = IsReplaced() || FirstDayFrom(day_ + std::chrono::days(1));
    if (!is_over_) break;
  }
  return std::nullopt;
}

uint64_t SpoolTail::skipped() const {
  return skipped_ + (reader_ ? reader_->skipped() : 0);
}

bool SpoolTail::Open() {
  const auto day = FirstDayFrom(day_);
  if (!day) return false;
  const std::string path = SpoolPath(directory_, *day);
  identity_ = Identify(path);
  auto reader = SpoolReader::Open(path);
  if (!reader) {
    status_ = reader.error();
    return false;
  }
  day_ = *day;
  reader_.emplace(std::move(*reader));
  is_over_ = false;
  return true;
}

void SpoolTail::Close() {
  skipped_ += reader_->skipped();
  if (!IsReplaced()) {
    std::error_code unknown;
    const auto size =
        std::filesystem::file_size(SpoolPath(directory_, day_), unknown);
    if (!unknown && size > reader_->offset()) ++skipped_;
    day_ += std::chrono::days(1);
  }
  reader_.reset();
}

bool SpoolTail::IsReplaced() const {
  const auto now = Identify(SpoolPath(directory_, day_));
  return now && now != identity_;
}

std::optional<Day> SpoolTail::FirstDayFrom(Day day) {
  std::error_code failed;
  if (!std::filesystem::exists(directory_, failed) && !failed)
    return std::nullopt;
  const auto days = ListSpoolDays(directory_);
  if (!days) {
    status_ = days.error();
    return std::nullopt;
  }
  const auto found = std::lower_bound(days->begin(), days->end(), day);
  return found == days->end() ? std::nullopt : std::optional(*found);
}

std::optional<SpoolTail::Identity> SpoolTail::Identify(
    const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return std::nullopt;
  return Identity{file.st_dev, file.st_ino};
}

}  // namespace postern
