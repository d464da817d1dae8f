// LogSource: where Postfix's log is read: a file (LogFollower) or the systemd
// journal (JournalFollower).
//
// A source remembers its position in a small file, so that it goes on where it
// was after a restart. On its first start it begins at the end: what is older
// has no queries, and could not be reported.
//
// Contract: passive, one thread. Whoever owns it calls ReadSome() some times a
// second, and at once again where there was more; nothing waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"

#include "policy-daemon/maillog_line.h"

namespace postern {

struct LogRecord {
  std::string_view text;  // a line of the file, or the journal's MESSAGE
  // What the journal knows of its sender.
  struct Sender {
    std::string_view tag;
    uint32_t pid = 0;
    LogTime at{};
  };
  std::optional<Sender> sender;
};

// The record as a line of an smtp(8) process; nullopt: of no interest.
std::optional<MaillogLine> ParseLogRecord(const LogRecord& record, LogTime now);

class LogSource {
 public:
  using Take = std::function<void(const LogRecord&)>;

  // How long the position in memory may be ahead of that in the file.
  static constexpr Seconds kSaveInterval{5};

  virtual ~LogSource() = default;

  // Hands on what has been added, or a part of it: then true.
  virtual bool ReadSome(SteadyTime now, const Take& take) = 0;
  // Writes the position down now, as before the end.
  virtual void Save() = 0;
  // Why nothing is read; why the position is not remembered; "": all is well.
  virtual const std::string& problem() const = 0;
  virtual const std::string& save_problem() const = 0;
};

// The position's file: small, replaced as a whole. "" where there is none.
std::string ReadPositionFile(const std::string& path);
// The problem; "" for none.
std::string WritePositionFile(const std::string& path, std::string_view text);

}  // namespace postern
