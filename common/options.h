// The configuration: /etc/postern/postern.conf, and every key as an option.
//
// Every key is described once, in the table of option_table.cc: name, default,
// help, and how its text becomes a value. An unknown key or a value that does
// not fit is an Error that names the file, the line and the nearest key.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/ip_address.h"
#include "common/listen_address.h"
#include "common/log.h"
#include "common/result.h"

namespace postern {

inline constexpr char kDefaultConfigFile[] = "/etc/postern/postern.conf";

// As the value of tlsrpt.maillog.
inline constexpr char kSystemdJournal[] = "journal";

enum class TrustAd { kAuto, kYes, kNo };

// Postfix's levels (smtp_tls_security_level), weakest first.
enum class SiteLevel {
  kNone,
  kMay,
  kEncrypt,
  kDane,
  kDaneOnly,
  kFingerprint,
  kVerify,
  kSecure,
};

struct Options {
  struct Policy {
    std::vector<ListenAddress> listen;
    std::chrono::milliseconds answer_timeout{0};
    uint32_t max_lookups = 0;
    uint32_t max_connections = 0;
    bool testing_reply_may = false;      // else: NOTFOUND
    bool mixed_reply_dane_only = false;  // else: secure
    SiteLevel site_level = SiteLevel::kMay;
    std::string socket_group;  // "": postfix where that group exists
    uint32_t socket_mode = 0;
    std::optional<ListenAddress> metrics_listen;
    std::string overrides;  // a file; "": none
  } policy;
  struct Run {
    std::string user;   // "": stay as started
    std::string group;  // "": the user's own
  } run;
  struct Cache {
    std::string directory;
    uint64_t max_entries = 0;
    uint64_t max_bytes = 0;
  } cache;
  struct Dane {
    bool enabled = true;
  } dane;
  struct Dns {
    std::vector<AddressAndPort> servers;  // empty: /etc/resolv.conf
    std::chrono::milliseconds timeout{0};
    TrustAd trust_ad = TrustAd::kAuto;

    friend bool operator==(const Dns&, const Dns&) = default;
  } dns;
  struct Sts {
    std::string ca_file;  // "": the system's
    uint16_t port = 443;
    Seconds fetch_timeout{0};
    uint32_t max_fetches = 0;
    AddressFilter allow_private;
    uint64_t max_bytes = 0;  // of policies remembered
    std::string proxy;       // "host:port" for HTTP CONNECT; "": none
  } sts;
  struct Milter {
    std::optional<ListenAddress> listen;
  } milter;
  struct Tlsrpt {
    std::vector<ListenAddress> listen;  // unix; empty: none
    std::string maillog;  // a file, or kSystemdJournal; "": is not read
  } tlsrpt;
  struct Spool {
    std::string directory;            // its folder "outcomes" has the day files
    std::vector<std::string> others;  // which are only read
    uint32_t keep_days = 0;
    uint64_t max_bytes = 0;            // a day's outcomes
    std::optional<uint64_t> min_free;  // bytes; nullopt: 5 % or 1 GiB, the
                                       // smaller
  } spool;
  struct Report {
    std::string organization_name;  // "": of contact_info
    std::string contact_info;       // "": nothing is sent
    std::string sender_address;     // "": contact_info
    std::string instance;           // "": the host's name
    std::string queue_directory;
    std::string user;             // "": see ReportAccount
    uint32_t max_per_target = 0;  // reports a day for one address or host
    std::string sendmail;
    Seconds jitter{0};
    Seconds retry_for{0};
    bool failures_only = false;
    std::optional<bool> subtract_own;  // nullopt: as Postfix's version has it
    std::string suppress;              // a file; "": none
    bool https = true;
    std::string ca_file;  // "": the system's
    AddressFilter allow_private;
    std::string dkim_domain;  // "": of sender_address
    std::vector<std::string> dkim_selectors;
    std::vector<std::string> dkim_keys;  // files; each has its selector
    std::optional<ListenAddress> metrics_listen;
  } report;
  struct Logging {
    LogLevel level = LogLevel::kInfo;
  } log;
};

// A program's command line: COMMAND, its arguments, and options.
struct CommandLine {
  std::string command;  // "" without one
  std::vector<std::string> arguments;
  bool help = false;
  bool version = false;
  bool json = false;
  bool all = false;
  bool follow = false;
  bool apply = false;
  bool remove = false;
  std::optional<std::string> since;
  std::optional<std::string> domain;
  bool mail = false;
  std::optional<std::string> day;
  std::optional<std::string> to;
  std::string config_file;  // where the options came from; "": defaults
  Options options;
};

// Reads the configuration file, too: blocks.
Result<CommandLine> ParseCommandLine(int argc, const char* const* argv);

// The keys in which the two differ and that take a restart, comma separated.
std::string KeysForRestart(const Options& running, const Options& wanted);

// The options as --help shows them: name, default, what it does; those whose
// key `is_wanted`.
std::string OptionsHelp(bool (*is_wanted)(std::string_view key));

// A Postfix level by its name.
std::optional<SiteLevel> ParseSiteLevel(const std::string& name);

// "8s", "500ms", "5m", "4h", "1d"; a bare number counts as seconds.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);

// "1GiB", "512 MiB", "64k", "1000".
std::optional<uint64_t> ParseSize(std::string_view text);

// One "prefix, prefix", "yes" or "no".
std::optional<AddressFilter> ParseAddressFilter(std::string_view text);

}  // namespace postern
