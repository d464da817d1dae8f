#include "common/spool_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "common/outcome_json.h"

namespace postern {
namespace {

constexpr size_t kChunk = 64 * 1024;

Error Failed(const std::string& path) {
  return Error{"cannot read " + path + ": " + std::strerror(errno)};
}

}  // namespace

Result<SpoolReader> SpoolReader::Open(const std::string& path,
                                      uint64_t offset) {
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Failed(path);
  return SpoolReader(path, std::move(fd), offset);
}

SpoolReader::SpoolReader(std::string path, FileDescriptor fd, uint64_t offset)
    : path_(std::move(path)), fd_(std::move(fd)), offset_(offset) {}

std::optional<Outcome> SpoolReader::Next() {
  while (const auto line = NextLine()) {
    auto outcome = ParseOutcomeLine(*line);
    if (outcome) return outcome;
    ++skipped_;
  }
  return std::nullopt;
}

std::optional<std::string_view> SpoolReader::NextLine() {
  size_t end = buffer_.find('\n', scanned_);
  while (end == buffer_.npos) {
    if (!ReadMore()) return std::nullopt;
    end = buffer_.find('\n', scanned_);
  }
  const auto line = std::string_view(buffer_).substr(begin_, end + 1 - begin_);
  begin_ = scanned_ = end + 1;
  const uint64_t dropped = std::exchange(dropped_, 0);
  offset_ += dropped + line.size();
  return dropped > 0 ? "" : line;
}

bool SpoolReader::ReadMore() {
  buffer_.erase(0, begin_);
  if (buffer_.size() > kMaxOutcomeLine) {
    dropped_ += buffer_.size();
    buffer_.clear();
  }
  begin_ = 0;
  scanned_ = buffer_.size();
  buffer_.resize(scanned_ + kChunk);
  ssize_t n = 0;
  do {
    n = pread(fd_.get(), buffer_.data() + scanned_, kChunk,
              static_cast<off_t>(offset_ + dropped_ + scanned_));
  } while (n < 0 && errno == EINTR);
  buffer_.resize(scanned_ + static_cast<size_t>(std::max<ssize_t>(n, 0)));
  status_ = Done{};
  if (n < 0) status_ = Failed(path_);
  return n > 0;
}

}  // namespace postern
