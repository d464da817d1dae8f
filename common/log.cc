#include "common/log.h"

#include <algorithm>
#include <memory>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kMaxValueLength = 1000;  // bytes; no line grows past reading

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto created = spdlog::stderr_logger_mt("postern");
    // No default flush delay: an operator tails this.
    created->flush_on(spdlog::level::trace);
    created->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %v",
                         spdlog::pattern_time_type::utc);
    return created;
  }();
  return *logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

bool NeedsQuotes(std::string_view value) {
  return value.empty() ||
         value.find_first_of(" \"=\\") != std::string_view::npos;
}

std::string Quote(std::string_view value) {
  std::string out = "\"";
  for (char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

std::string FormatLogFields(std::initializer_list<LogField> fields) {
  std::string line;
  for (const LogField& field : fields) {
    if (!line.empty()) line += ' ';
    const std::string value = Printable(field.value, kMaxValueLength);
    line += field.key;
    line += '=';
    line += NeedsQuotes(value) ? Quote(value) : value;
  }
  return line;
}

void SetLogLevel(LogLevel level) { Logger().set_level(ToSpdlog(level)); }

bool LogEnabled(LogLevel level) { return Logger().should_log(ToSpdlog(level)); }

void Log(LogLevel level, std::string_view event,
         std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  std::string line = "level=";
  line += LevelName(level);
  line += " event=";
  line += event;
  if (fields.size() > 0) line += ' ' + FormatLogFields(fields);
  Logger().log(ToSpdlog(level), "{}", line);
}

bool LogLimiter::Allow(std::chrono::steady_clock::time_point now,
                       uint64_t* suppressed) {
  if (in_window_ == 0 || now - window_start_ >= window_) {
    window_start_ = now;
    in_window_ = 0;
  }
  if (in_window_ >= burst_) {
    ++suppressed_;
    return false;
  }
  ++in_window_;
  *suppressed = std::exchange(suppressed_, 0);
  return true;
}

}  // namespace postern
