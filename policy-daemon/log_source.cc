#include "policy-daemon/log_source.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "common/file_descriptor.h"

namespace postern {
namespace {

constexpr size_t kMaxPositionBytes = 8192;
// rsyslog behind journald dates a line when it is forwarded, postlogd when it
// is read. The journal's time is the kernel's.
constexpr Seconds kFileLateness{1};

std::string Problem(const char* what, const std::string& path) {
  return std::string(what) + " " + path + ": " + std::strerror(errno);
}

}  // namespace

std::optional<MaillogLine> ParseLogRecord(const LogRecord& record,
                                          LogTime now) {
  if (!record.sender) {
    auto line = ParseMaillogLine(record.text, now);
    if (line) line->late = kFileLateness;
    return line;
  }
  if (!IsSmtpTag(record.sender->tag)) return std::nullopt;
  auto event = ParseSmtpMessage(record.text);
  if (!event) return std::nullopt;
  MaillogLine line;
  line.pid = record.sender->pid;
  line.at = record.sender->at;
  line.event = std::move(*event);
  return line;
}

std::string ReadPositionFile(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return "";
  std::string text(kMaxPositionBytes, '\0');
  const ssize_t size = read(file.get(), text.data(), text.size());
  text.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return text;
}

std::string WritePositionFile(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  {
    const FileDescriptor file(
        open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return Problem("cannot write", fresh);
    errno = ENOSPC;  // what a short write is
    if (write(file.get(), text.data(), text.size()) !=
        static_cast<ssize_t>(text.size()))
      return Problem("cannot write", fresh);
  }
  // Not synced: after a loss of power, a position that is older, or none, is as
  // good.
  if (rename(fresh.c_str(), path.c_str()) != 0)
    return Problem("cannot replace", path);
  return "";
}

}  // namespace postern
