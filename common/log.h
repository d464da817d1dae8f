// The program's log: one line an event, key=value, on standard error.
//
//   2026-11-22T13:05:07.123Z level=warn event=dns_failed name=example.com ...
//
// Why: the same line serves a person with grep and a collector. Values are
// escaped here, so remote text cannot forge a line or reach a terminal raw.
// Callable from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace postern {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  template <class Integer>
  requires std::is_integral_v<Integer> LogField(std::string_view k, Integer v)
      : key(k), value(std::to_string(v)) {}

  std::string_view key;
  std::string value;
};

void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);
void Log(LogLevel level, std::string_view event,
         std::initializer_list<LogField> fields = {});

// "k=v k2=\"two words\"": what Log writes after the event.
std::string FormatLogFields(std::initializer_list<LogField> fields);

// Lets `burst` lines of one kind through every `window`; the rest is counted,
// so that what an attacker can cause cannot fill the disk.
class LogLimiter {
 public:
  explicit LogLimiter(
      int burst = 10,
      std::chrono::steady_clock::duration window = std::chrono::minutes(1))
      : burst_(burst), window_(window) {}

  // True: log, and mention `suppressed` lines that were left out before.
  bool Allow(std::chrono::steady_clock::time_point now, uint64_t* suppressed);

 private:
  int burst_;
  std::chrono::steady_clock::duration window_;
  std::chrono::steady_clock::time_point window_start_{};
  int in_window_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace postern
