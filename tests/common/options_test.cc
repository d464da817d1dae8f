#include "common/options.h"

#include <fstream>
#include <set>
#include <string>

#include <unistd.h>

#include <gtest/gtest.h>

#include "common/option_table.h"

namespace postern {
namespace {

using std::chrono::milliseconds;

// A configuration file for one case.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) {
    std::string name = testing::TempDir() + "postern_options_XXXXXX";
    close(mkstemp(name.data()));
    std::ofstream(name) << text;
    path_ = name;
  }
  ~ConfigFile() { unlink(path_.c_str()); }
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<CommandLine> Parse(std::vector<std::string> words) {
  std::vector<const char*> argv = {"postern-policy"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data());
}

Result<CommandLine> ParseFile(const std::string& text,
                              std::vector<std::string> words = {}) {
  const ConfigFile file(text);
  words.push_back("--config=" + file.path());
  return Parse(std::move(words));
}

Options Good(const std::string& text, std::vector<std::string> words = {}) {
  auto parsed = ParseFile(text, std::move(words));
  if (parsed) return parsed->options;
  ADD_FAILURE() << text << "\n" << parsed.error().message;
  return {};
}

// The whole message, with the file's name as FILE.
void Bad(const std::string& text, const std::string& want) {
  const ConfigFile file(text);
  const auto parsed = Parse({"--config=" + file.path()});
  ASSERT_FALSE(parsed) << text;
  std::string message = parsed.error().message;
  if (const size_t at = message.find(file.path()); at != std::string::npos)
    message.replace(at, file.path().size(), "FILE");
  EXPECT_EQ(message, want) << text;
}

void BadWords(std::vector<std::string> words, const std::string& want) {
  words.emplace_back("--config=/dev/null");
  const auto parsed = Parse(std::move(words));
  ASSERT_FALSE(parsed) << want;
  EXPECT_EQ(parsed.error().message, want);
}

TEST(Options, HaveTheDocumentedDefaults) {
  const Options o = Good("");
  ASSERT_EQ(o.policy.listen.size(), 1u);
  EXPECT_EQ(o.policy.listen[0].ToString(),
            "unix:/var/spool/postfix/postern/policy.sock");
  EXPECT_EQ(o.policy.answer_timeout, milliseconds(8000));
  EXPECT_EQ(o.policy.max_lookups, 1000u);
  EXPECT_EQ(o.policy.max_connections, 16384u);
  EXPECT_FALSE(o.policy.testing_reply_may);
  EXPECT_FALSE(o.policy.mixed_reply_dane_only);
  EXPECT_EQ(o.policy.site_level, SiteLevel::kMay);
  EXPECT_EQ(o.policy.socket_group, "");
  EXPECT_EQ(o.policy.socket_mode, 0660u);
  EXPECT_FALSE(o.policy.metrics_listen);
  EXPECT_EQ(o.run.user, "");
  EXPECT_EQ(o.run.group, "");
  EXPECT_EQ(o.cache.max_entries, 1000000u);
  EXPECT_EQ(o.cache.max_bytes, uint64_t{256} << 20);
  EXPECT_TRUE(o.dane.enabled);
  EXPECT_TRUE(o.dns.servers.empty());
  EXPECT_EQ(o.dns.timeout, milliseconds(5000));
  EXPECT_EQ(o.dns.trust_ad, TrustAd::kAuto);
  EXPECT_EQ(o.sts.ca_file, "");
  EXPECT_EQ(o.sts.port, 443);
  EXPECT_EQ(o.sts.fetch_timeout, Seconds(60));
  EXPECT_EQ(o.sts.max_fetches, 1000u);
  EXPECT_FALSE(o.sts.allow_private.allow_all);
  EXPECT_TRUE(o.sts.allow_private.allowed.empty());
  EXPECT_EQ(o.log.level, LogLevel::kInfo);
}

TEST(Options, ComeFromSectionsOfTheFile) {
  const Options o = Good(
      "# a comment\n"
      "[policy]\n"
      "listen = inet:127.0.0.1:8461   # another\n"
      "answer_timeout=20s\n"
      "testing_reply = may\n"
      "mixed_reply = dane-only\n"
      "site_level = encrypt\n"
      "socket_mode = 0600\n"
      "metrics_listen = inet:127.0.0.1:9474\n"
      "\n"
      "[dns]\n"
      "server = [::1]:5353\n"
      "trust_ad = yes\n"
      "[sts]\n"
      "allow_private = 192.0.2.0/24, 2001:db8::/32\n"
      "fetch_timeout = 2m\n"
      "[dane]\n"
      "enabled = no\n"
      "[run]\n"
      "user = postern\n"
      "[cache]\n"
      "max_bytes = 64 MiB\n"
      "[log]\n"
      "level = debug\n");
  ASSERT_EQ(o.policy.listen.size(), 1u) << "replaces the default";
  EXPECT_EQ(o.policy.listen[0].ToString(), "inet:127.0.0.1:8461");
  EXPECT_EQ(o.policy.answer_timeout, milliseconds(20000));
  EXPECT_TRUE(o.policy.testing_reply_may);
  EXPECT_TRUE(o.policy.mixed_reply_dane_only);
  EXPECT_EQ(o.policy.site_level, SiteLevel::kEncrypt);
  EXPECT_EQ(o.policy.socket_mode, 0600u);
  ASSERT_TRUE(o.policy.metrics_listen);
  EXPECT_EQ(o.policy.metrics_listen->port, 9474);
  ASSERT_EQ(o.dns.servers.size(), 1u);
  EXPECT_EQ(o.dns.servers[0].ToString(), "[::1]:5353");
  EXPECT_EQ(o.dns.trust_ad, TrustAd::kYes);
  EXPECT_EQ(o.sts.allow_private.allowed.size(), 2u);
  EXPECT_EQ(o.sts.fetch_timeout, Seconds(120));
  EXPECT_FALSE(o.dane.enabled);
  EXPECT_EQ(o.run.user, "postern");
  EXPECT_EQ(o.cache.max_bytes, uint64_t{64} << 20);
  EXPECT_EQ(o.log.level, LogLevel::kDebug);
}

TEST(Options, OfTheCommandLineReplaceTheFiles) {
  const std::string file =
      "[dns]\nserver = 127.0.0.1\nserver = 127.0.0.2\ntimeout = 1s\n";
  const Options alone = Good(file);
  ASSERT_EQ(alone.dns.servers.size(), 2u) << "repeatable";
  EXPECT_EQ(alone.dns.servers[1].ToString(), "127.0.0.2:53");

  const Options replaced =
      Good(file, {"--dns.server=127.0.0.3", "--dns.server", "127.0.0.4"});
  ASSERT_EQ(replaced.dns.servers.size(), 2u);
  EXPECT_EQ(replaced.dns.servers[0].ToString(), "127.0.0.3:53");
  EXPECT_EQ(replaced.dns.servers[1].ToString(), "127.0.0.4:53");
  EXPECT_EQ(replaced.dns.timeout, milliseconds(1000));
}

TEST(Options, ErrorsNameFileLineAndNearestKey) {
  Bad("[policy]\n\nlisten_on = unix:/p\n",
      "FILE:3: unknown key 'policy.listen_on'; did you mean "
      "'policy.listen'?");
  Bad("[dns]\nsever = 127.0.0.1\n",
      "FILE:2: unknown key 'dns.sever'; did you mean 'dns.server'?");
  Bad("[policies]\nlisten = unix:/p\n",
      "FILE:2: unknown key 'policies.listen'; did you mean "
      "'policy.listen'?");
  Bad("nothing_at_all_like_it = 1\n",
      "FILE:1: unknown key 'nothing_at_all_like_it'");
  Bad("# c\n[dns]\ntimeout = soon\n",
      "FILE:3: dns.timeout cannot be 'soon'; expected a duration from 500ms "
      "to 30s");
}

TEST(Options, ErrorsNameTheRepeatedLine) {
  Bad("[dns]\ntimeout = 1s\n\ntimeout = 2s\n",
      "FILE:4: dns.timeout is given twice");
  Bad("[dns]\nserver = 127.0.0.1\nserver = localhost\n",
      "FILE:3: dns.server cannot be 'localhost'; expected ADDRESS, "
      "ADDRESS:PORT or [IPV6]:PORT");
}

TEST(Options, ErrorsNameABrokenLine) {
  Bad("[dns]\nserver 127.0.0.1\n",
      "FILE:2: expected '[section]' or 'key = value'");
  Bad("[dns\n", "FILE:1: expected '[section]' or 'key = value'");
}

TEST(Options, ErrorsAreSafeToPrint) {
  Bad("[dns]\ntimeout = \x1b[2J\n",
      "FILE:2: dns.timeout cannot be '\\x1b[2J'; expected a duration from "
      "500ms to 30s");
}

TEST(Options, ErrorsOfTheCommandLineNameTheOption) {
  BadWords({"--dns.timeout=soon"},
           "--dns.timeout cannot be 'soon'; expected a duration from 500ms "
           "to 30s");
  BadWords({"--log.level=info", "--log.level=warn"},
           "--log.level is given twice");
}

TEST(Options, OfTheCommandLineAreNotGuessed) {
  // An abbreviation would change its meaning with the next version.
  BadWords({"--dns.serv", "127.0.0.1"},
           "unknown key 'dns.serv'; did you mean 'dns.server'? (--help lists "
           "them)");
}

TEST(Options, OfTheCommandLineAreNamedWithoutTheirValue) {
  BadWords({"--dns.sever=127.0.0.1"},
           "unknown key 'dns.sever'; did you mean 'dns.server'? (--help "
           "lists them)");
}

TEST(Options, RefuseAFileThatIsNotThere) {
  const auto parsed = Parse({"--config=/nonexistent/postern.conf"});
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().message,
            "cannot read the configuration file /nonexistent/postern.conf; "
            "check its name and mode");
}

TEST(Options, RefuseAFolderAsFile) { EXPECT_FALSE(Parse({"--config=/"})); }

TEST(Options, RoundNothing) {
  EXPECT_FALSE(Parse({"--config=/dev/null", "--sts.fetch_timeout=1500ms"}));
}

TEST(Options, KnowTheirBounds) {
  const auto fits = [](const std::string& option) {
    return Parse({"--config=/dev/null", "--" + option}).has_value();
  };
  for (const char* option : {"policy.answer_timeout=1s",
                             "policy.answer_timeout=60s",
                             "policy.max_lookups=1",
                             "policy.max_lookups=100000",
                             "policy.max_connections=1000000",
                             "policy.site_level=none",
                             "policy.site_level=dane-only",
                             "policy.site_level=secure",
                             "policy.socket_mode=0777",
                             "policy.socket_mode=660",
                             "cache.max_entries=100",
                             "cache.max_bytes=1MiB",
                             "dns.timeout=500ms",
                             "dns.timeout=30",
                             "dns.trust_ad=no",
                             "sts.port=1",
                             "sts.port=65535",
                             "sts.fetch_timeout=5m",
                             "sts.allow_private=yes",
                             "sts.allow_private=10.0.0.1",
                             "log.level=error"})
    EXPECT_TRUE(fits(option)) << option;
  for (const char* option : {"policy.answer_timeout=999ms",
                             "policy.answer_timeout=61s",
                             "policy.answer_timeout=-1s",
                             "policy.max_lookups=0",
                             "policy.max_lookups=100001",
                             "policy.max_connections=0",
                             "policy.listen=",
                             "policy.listen=/p",
                             "policy.testing_reply=yes",
                             "policy.mixed_reply=dane",
                             "policy.site_level=maybe",
                             "policy.site_level=",
                             "policy.socket_mode=0888",
                             "policy.socket_mode=01777",
                             "policy.socket_mode=6",
                             "policy.metrics_listen=9474",
                             "cache.max_entries=99",
                             "cache.max_bytes=1",
                             "cache.max_bytes=much",
                             "dane.enabled=maybe",
                             "dane.enabled=1",
                             "dns.server=example.com",
                             "dns.timeout=499ms",
                             "dns.timeout=31s",
                             "dns.trust_ad=maybe",
                             "sts.port=0",
                             "sts.port=65536",
                             "sts.fetch_timeout=301s",
                             "sts.allow_private=maybe",
                             "sts.allow_private=10.0.0.0/33",
                             "log.level=trace"})
    EXPECT_FALSE(fits(option)) << option;
}

TEST(CommandLine, HoldsCommandArgumentsAndFlags) {
  const auto parsed = Parse({"query", "example.com", "--json",
                             "--config=/dev/null", "--log.level=error"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->command, "query");
  EXPECT_EQ(parsed->arguments, (std::vector<std::string>{"example.com"}));
  EXPECT_TRUE(parsed->json);
  EXPECT_FALSE(parsed->help);
  EXPECT_EQ(parsed->config_file, "/dev/null");
  EXPECT_EQ(parsed->options.log.level, LogLevel::kError);

  const auto flags = Parse({"-h", "-V", "-c", "/dev/null"});
  ASSERT_TRUE(flags);
  EXPECT_TRUE(flags->help);
  EXPECT_TRUE(flags->version);
  EXPECT_EQ(flags->command, "");
}

TEST(CommandLine, HoldsWhichFailuresAreAskedFor) {
  const auto parsed =
      Parse({"failures", "--since", "90m", "--domain=example.com", "--follow",
             "--config=/dev/null"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->command, "failures");
  EXPECT_TRUE(parsed->arguments.empty());
  EXPECT_EQ(parsed->since, "90m");
  EXPECT_EQ(parsed->domain, "example.com");
  EXPECT_TRUE(parsed->follow);

  const auto none = Parse({"failures", "--config=/dev/null"});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->since, std::nullopt);
  EXPECT_EQ(none->domain, std::nullopt);
  EXPECT_FALSE(none->follow);
}

TEST(OptionsHelp, NamesEveryKeyWithItsDefault) {
  const std::string help = OptionsHelp([](std::string_view) { return true; });
  for (const char* text :
       {"--policy.listen ", "[unix:/var/spool/postfix/postern/policy.sock]",
        "--policy.answer_timeout ", "[8s]", "--sts.allow_private ",
        "--log.level ", "[info]"})
    EXPECT_NE(help.find(text), std::string::npos) << text;
}

TEST(ParseDuration, TakesAUnitOrSeconds) {
  EXPECT_EQ(ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(ParseDuration("8"), milliseconds(8000));
  EXPECT_EQ(ParseDuration("8s"), milliseconds(8000));
  EXPECT_EQ(ParseDuration("8 s"), milliseconds(8000));
  EXPECT_EQ(ParseDuration("5m"), milliseconds(300000));
  EXPECT_EQ(ParseDuration("5min"), milliseconds(300000));
  EXPECT_EQ(ParseDuration("4h"), milliseconds(14400000));
  EXPECT_EQ(ParseDuration("1d"), milliseconds(86400000));
  EXPECT_EQ(ParseDuration("0"), milliseconds(0));
  for (const char* in :
       {"", "s", "-1s", "1.5s", "1w", "1S", "1s2", "1h 5m", "99999999999s"})
    EXPECT_FALSE(ParseDuration(in)) << in;
}

TEST(ParseSize, TakesAUnitOrBytes) {
  EXPECT_EQ(ParseSize("1000"), 1000u);
  EXPECT_EQ(ParseSize("64k"), 65536u);
  EXPECT_EQ(ParseSize("64KiB"), 65536u);
  EXPECT_EQ(ParseSize("512 MiB"), uint64_t{512} << 20);
  EXPECT_EQ(ParseSize("1GiB"), uint64_t{1} << 30);
  EXPECT_EQ(ParseSize("1g"), uint64_t{1} << 30);
  for (const char* in :
       {"", "k", "-1", "1.5G", "1 T", "1kk", "99999999999999999999", "0x10"})
    EXPECT_FALSE(ParseSize(in)) << in;
}

TEST(ParseAddressFilter, TakesYesNoOrPrefixes) {
  const auto no = ParseAddressFilter("no");
  ASSERT_TRUE(no);
  EXPECT_FALSE(no->allow_all);
  const auto yes = ParseAddressFilter("yes");
  ASSERT_TRUE(yes);
  EXPECT_TRUE(yes->allow_all);
  const auto some = ParseAddressFilter("10.0.0.0/8,fc00::/7 192.0.2.1");
  ASSERT_TRUE(some);
  EXPECT_FALSE(some->allow_all);
  EXPECT_EQ(some->allowed.size(), 3u);
  for (const char* in : {"", ",", "maybe", "10.0.0.0/8,yes", "10.0.0.0/99"})
    EXPECT_FALSE(ParseAddressFilter(in)) << in;
}

// --- Postfix's log, or its datagrams.

TEST(MaillogOption, ReplacesTheSocket) {
  for (const char* log : {"/var/log/mail.log", "journal"}) {
    const Options options =
        Good("[tlsrpt]\nmaillog = " + std::string(log) + "\n");
    EXPECT_EQ(options.tlsrpt.maillog, log);
    EXPECT_TRUE(options.tlsrpt.listen.empty());
  }
  EXPECT_EQ(Good("").tlsrpt.maillog, "");
  EXPECT_EQ(Good("").tlsrpt.listen.size(), 1u);
  EXPECT_EQ(Good("[tlsrpt]\nlisten = none\nmaillog = journal\n").tlsrpt.maillog,
            "journal");
}

TEST(MaillogOption, IsNotForBoth) {
  Bad("[tlsrpt]\nlisten = unix:/run/t.sock\nmaillog = journal\n",
      "FILE:3: tlsrpt.maillog and tlsrpt.listen exclude each other, as each "
      "session would count twice; set one of them");
}

TEST(MaillogOption, IsAPathOrTheJournal) {
  Bad("[tlsrpt]\nmaillog = mail.log\n",
      "FILE:2: tlsrpt.maillog cannot be 'mail.log'; expected the path of a "
      "file, or journal");
}

// --help and postern.conf(5) go by these two.
TEST(OptionTable, EveryKeySaysWhatCountsWithoutIt) {
  for (const OptionSpec& spec : Specs())
    EXPECT_NE(spec.default_text.empty(),
              spec.help.find("(default: ") == std::string::npos)
        << spec.key;
}

TEST(OptionTable, KeysOfASectionStandTogether) {
  std::set<std::string> sections;
  std::string current;
  for (const OptionSpec& spec : Specs()) {
    const std::string section = spec.key.substr(0, spec.key.find('.'));
    if (section != current) {
      EXPECT_TRUE(sections.insert(section).second) << spec.key;
    }
    current = section;
  }
}

TEST(OptionsHelp, SaysWhatIsRepeatable) {
  const std::string help =
      OptionsHelp([](std::string_view key) { return key == "dns.server"; });
  EXPECT_EQ(help,
            "  --dns.server            validating resolver (default: "
            "/etc/resolv.conf); repeatable\n");
}

TEST(Options, OwnReportMailsAreJudgedByPostfixsVersionUnlessToldOtherwise) {
  const auto given = [](const std::string& text) {
    return Good("[report]\nsubtract_own = " + text + "\n").report.subtract_own;
  };
  EXPECT_EQ(Good("").report.subtract_own, std::nullopt);
  EXPECT_EQ(given("auto"), std::nullopt);
  EXPECT_EQ(given("yes"), true);
  EXPECT_EQ(given("no"), false);
  Bad("[report]\nsubtract_own = maybe\n",
      "FILE:2: report.subtract_own cannot be 'maybe'; expected auto, yes or "
      "no");
}

}  // namespace
}  // namespace postern
