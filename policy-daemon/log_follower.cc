#include "policy-daemon/log_follower.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace postern {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHeader = "postern-log-position 1";

std::string ToHex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    hex += kDigits[static_cast<unsigned char>(c) >> 4];
    hex += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

// What ToHex() wrote, and the "-" behind it.
std::optional<std::string> FromHex(std::string_view hex) {
  if (!hex.ends_with('-')) return std::nullopt;
  hex.remove_suffix(1);
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] =
        std::from_chars(hex.data() + i, hex.data() + i + 2, value, 16);
    if (error != std::errc() || end != hex.data() + i + 2) return std::nullopt;
    bytes += static_cast<char>(value);
  }
  return bytes;
}

// Does `tail` stand before `offset`?
bool HasTail(int file, uint64_t offset, std::string_view tail) {
  if (tail.size() > offset) return false;
  std::string found(tail.size(), '\0');
  return pread(file, found.data(), found.size(),
               static_cast<off_t>(offset - tail.size())) ==
             static_cast<ssize_t>(tail.size()) &&
         found == tail;
}

}  // namespace

LogFollower::LogFollower(std::string path, std::string position_path,
                         Settings settings)
    : path_(std::move(path)),
      position_path_(std::move(position_path)),
      settings_(settings),
      buffer_(kTail + settings.chunk) {
  Resume();
}

std::optional<LogFollower::File> LogFollower::Open(const std::string& path) {
  // A pipe would hold us up.
  File file{FileDescriptor(open(path.c_str(),
                                O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)),
            {}};
  if (!file.descriptor || fstat(file.descriptor.get(), &file.status) != 0) {
    absent_ = errno == ENOENT;
    problem_ = "cannot read " + path + ": " + std::strerror(errno);
    return std::nullopt;
  }
  if (!S_ISREG(file.status.st_mode)) {
    problem_ = "cannot read " + path + ": not a file";
    return std::nullopt;
  }
  problem_.clear();
  return file;
}

void LogFollower::Resume() {
  auto file = Open(path_);
  std::istringstream text(ReadPositionFile(position_path_));
  std::string header, hex, path;
  Position position;
  std::getline(text, header);
  text >> position.device >> position.inode >> position.offset >> hex;
  text.ignore(1);
  std::getline(text, path);
  const auto tail = FromHex(hex);
  if (!text || header != kHeader || path != path_ || !tail) {
    // The first start. A file that appears later is new as a whole.
    if (file) StartAtEnd(std::move(*file));
    return;
  }
  position.tail = *tail;
  if (auto old = Find(position))
    StartWithin(std::move(*old), position.offset, position.tail);
  else if (file)
    StartWithin(std::move(*file), 0, "");
}

// There, unless that is too far behind.
void LogFollower::StartWithin(File file, uint64_t offset, std::string tail) {
  const auto size = static_cast<uint64_t>(file.status.st_size);
  if (size - offset <= settings_.max_catch_up)
    StartAt(std::move(file), offset, std::move(tail));
  else
    StartAtEnd(std::move(file));
}

// The file of the position, under whatever name it has now.
std::optional<LogFollower::File> LogFollower::Find(
    const Position& position) const {
  const fs::path log(path_);
  std::error_code error;
  const auto folder = log.has_parent_path() ? log.parent_path() : fs::path(".");
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (!name.starts_with(log.filename().string())) continue;
    struct stat status {};
    if (stat(entry->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_dev != position.device || status.st_ino != position.inode)
      continue;
    File file{FileDescriptor(open(entry->path().c_str(),
                                  O_RDONLY | O_CLOEXEC | O_NONBLOCK)),
              status};
    if (file.descriptor &&
        static_cast<uint64_t>(status.st_size) >= position.offset &&
        HasTail(file.descriptor.get(), position.offset, position.tail))
      return file;
  }
  return std::nullopt;
}

// From a line's beginning.
void LogFollower::StartAt(File file, uint64_t offset, std::string tail) {
  file_.reset();
  file_.emplace(std::move(file));
  offset_ = offset;
  tail_ = std::move(tail);
  skipping_ = false;
  NotePosition();
}

void LogFollower::StartAtEnd(File file) {
  const auto size = static_cast<uint64_t>(file.status.st_size);
  std::string tail(std::min<uint64_t>(size, kTail), '\0');
  if (pread(file.descriptor.get(), tail.data(), tail.size(),
            static_cast<off_t>(size - tail.size())) !=
      static_cast<ssize_t>(tail.size()))
    tail.clear();
  StartAt(std::move(file), size, tail);
  if (size > 0 && !tail.ends_with('\n')) {
    // The rest of a line is none.
    skipping_ = true;
    position_.reset();
  }
}

bool LogFollower::ReadSome(SteadyTime now, const Take& take) {
  if (!file_ && std::exchange(absent_, false)) {
    auto file = Open(path_);
    if (file) StartAt(std::move(*file), 0, "");
  } else if (!file_) {
    Resume();  // it is not new, but may be read now
  }
  if (!file_) return false;
  // Asked before the last look at the old file, which is at its end then.
  const bool replaced = IsReplaced();
  bool more = ReadChunk(take);
  if (!more && replaced) {
    if (auto file = Open(path_)) {
      StartAt(std::move(*file), 0, "");
      more = true;
    }
  }
  if (now - saved_at_ >= kSaveInterval) {
    Save();
    saved_at_ = now;
  }
  return more;
}

// Is there a new file in its place, and in use?
bool LogFollower::IsReplaced() const {
  struct stat status {};
  return stat(path_.c_str(), &status) == 0 && status.st_size > 0 &&
         (status.st_dev != file_->status.st_dev ||
          status.st_ino != file_->status.st_ino);
}

// False: that was the end.
bool LogFollower::ReadChunk(const Take& take) {
  const ssize_t size = pread(file_->descriptor.get(), buffer_.data(),
                             tail_.size() + settings_.chunk,
                             static_cast<off_t>(offset_ - tail_.size()));
  if (size < 0) {
    problem_ = "cannot read " + path_ + ": " + std::strerror(errno);
    return false;
  }
  problem_.clear();
  const std::string_view found(buffer_.data(), static_cast<size_t>(size));
  if (!found.starts_with(tail_)) {
    // Somebody has emptied it: what it holds is new.
    offset_ = 0;
    tail_.clear();
    skipping_ = false;
    NotePosition();
    return true;
  }
  const bool more = found.size() == tail_.size() + settings_.chunk;
  TakeLines(found, take);
  return more;
}

// `found`: what was read, with the tail before it.
void LogFollower::TakeLines(std::string_view found, const Take& take) {
  const size_t known = tail_.size();
  size_t begin = known;
  for (size_t end; (end = found.find('\n', begin)) != found.npos;
       begin = end + 1) {
    const auto line = found.substr(begin, end - begin);
    if (!std::exchange(skipping_, false) && line.size() <= kMaxLogLine)
      take({line, std::nullopt});
  }
  if (begin > known) {
    PassOver(found.substr(0, begin), begin - known);
    NotePosition();
  }
  const auto rest = found.substr(begin);
  if (rest.size() > kMaxLogLine) skipping_ = true;
  if (skipping_) PassOver(found, rest.size());
}

// `bytes` more have been dealt with, the last of `found`.
void LogFollower::PassOver(std::string_view found, size_t bytes) {
  offset_ += bytes;
  tail_ = found.substr(found.size() - std::min(found.size(), kTail));
}

void LogFollower::NotePosition() {
  position_ = {file_->status.st_dev, file_->status.st_ino, offset_, tail_};
  saved_ = false;
}

void LogFollower::Save() {
  if (saved_ || !position_) return;
  std::ostringstream text;
  text << kHeader << '\n'
       << position_->device << ' ' << position_->inode << ' '
       << position_->offset << ' ' << ToHex(position_->tail) << "-\n"
       << path_ << '\n';
  save_problem_ = WritePositionFile(position_path_, text.view());
  saved_ = save_problem_.empty();
}

}  // namespace postern
