#include "common/options.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <boost/program_options.hpp>

#include "common/option_table.h"
#include "common/text.h"

namespace postern {
namespace {

namespace po = boost::program_options;

std::vector<std::string> KnownKeys() {
  std::vector<std::string> keys;
  for (const OptionSpec& spec : Specs()) keys.push_back(spec.key);
  return keys;
}

std::string UnknownKey(const std::string& key) {
  std::string message = "unknown key '" + Printable(key) + "'";
  const std::string nearest = NearestName(key, KnownKeys());
  if (!nearest.empty()) message += "; did you mean '" + nearest + "'?";
  return message;
}

struct GivenValue {
  std::string text;
  std::string where;  // "FILE:LINE: " or "--key: "
};
using GivenValues = std::map<std::string, std::vector<GivenValue>>;

// The lines on which each "section.key" stands, in order.
std::map<std::string, std::vector<int>> KeyLines(std::istream& file) {
  std::map<std::string, std::vector<int>> lines;
  std::string section;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::string_view text = line;
    text = TrimBlanks(text.substr(0, text.find('#')));
    if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
      section = std::string(text.substr(1, text.size() - 2)) + ".";
    } else if (const size_t equals = text.find('=');
               equals != std::string_view::npos) {
      const std::string key(TrimBlanks(text.substr(0, equals)));
      lines[section + key].push_back(number);
    } else if (!text.empty()) {
      lines[""].push_back(number);
    }
  }
  return lines;
}

Result<GivenValues> ReadConfigFile(const std::string& path) {
  std::ifstream file(path);
  // A folder can be opened, but not read.
  if (!file || std::filesystem::is_directory(path))
    return Error{"cannot read the configuration file " + path +
                 "; check its name and mode"};
  std::stringstream text;
  text << file.rdbuf();
  auto lines = KeyLines(text);
  const auto where = [&](const std::string& key, size_t index) {
    const auto& numbers = lines[key];
    return path + ":" +
           (index < numbers.size() ? std::to_string(numbers[index]) : "?") +
           ": ";
  };
  text.clear();
  text.seekg(0);
  GivenValues values;
  try {
    const auto parsed = po::parse_config_file(text, po::options_description(),
                                              /*allow_unregistered=*/true);
    for (const auto& option : parsed.options) {
      auto& given = values[option.string_key];
      for (const std::string& value : option.value)
        given.push_back({value, where(option.string_key, given.size())});
    }
  } catch (const po::error&) {
    return Error{where("", 0) + "expected '[section]' or 'key = value'"};
  }
  const auto known = KnownKeys();
  for (const auto& [key, given] : values) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return Error{given.front().where + UnknownKey(key)};
  }
  return values;
}

Result<Options> BuildOptions(const GivenValues& values) {
  Options options;
  for (const OptionSpec& spec : Specs()) {
    std::vector<GivenValue> given;
    if (const auto found = values.find(spec.key); found != values.end())
      given = found->second;
    else if (!spec.default_text.empty())
      given = {{spec.default_text, ""}};
    if (given.size() > 1 && !spec.repeatable)
      return Error{given[1].where + spec.key + " is given twice"};
    for (const GivenValue& value : given) {
      if (!spec.set(options, value.text))
        return Error{value.where + spec.key + " cannot be '" +
                     Printable(value.text) + "'; expected " + spec.expected};
    }
  }
  if (!options.tlsrpt.maillog.empty()) {
    if (values.contains("tlsrpt.listen") && !options.tlsrpt.listen.empty())
      return Error{values.at("tlsrpt.maillog").front().where +
                   "tlsrpt.maillog and tlsrpt.listen exclude each other, as "
                   "each session would count twice; set one of them"};
    options.tlsrpt.listen.clear();
  }
  return options;
}

po::options_description Description() {
  po::options_description description;
  description.add_options()("help,h", "")("version,V", "")("json", "")(
      "all", "")("follow", "")("apply", "")("remove", "")(
      "since", po::value<std::string>())("domain", po::value<std::string>())(
      "mail", "")("day", po::value<std::string>())(
      "to", po::value<std::string>())("config,c", po::value<std::string>());
  for (const OptionSpec& spec : Specs())
    description.add_options()(spec.key.c_str(),
                              po::value<std::vector<std::string>>());
  description.add_options()("words", po::value<std::vector<std::string>>());
  return description;
}

}  // namespace

Result<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  const po::options_description description = Description();
  po::positional_options_description positional;
  positional.add("words", -1);
  po::variables_map map;
  try {
    // No guessing: an abbreviated key would change its meaning when the next
    // version adds a longer one.
    const int style = po::command_line_style::default_style &
                      ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(argc, argv)
                  .options(description)
                  .positional(positional)
                  .style(style)
                  .run(),
              map);
  } catch (const po::unknown_option& error) {
    std::string key = error.get_option_name();
    key.erase(0, key.find_first_not_of('-'));
    key = key.substr(0, key.find('='));
    return Error{UnknownKey(key) + " (--help lists them)"};
  } catch (const po::error& error) {
    return Error{error.what()};
  }

  CommandLine line;
  line.help = map.count("help") > 0;
  line.version = map.count("version") > 0;
  line.json = map.count("json") > 0;
  line.all = map.count("all") > 0;
  line.follow = map.count("follow") > 0;
  line.apply = map.count("apply") > 0;
  line.remove = map.count("remove") > 0;
  if (map.count("since")) line.since = map["since"].as<std::string>();
  if (map.count("domain")) line.domain = map["domain"].as<std::string>();
  line.mail = map.count("mail") > 0;
  if (map.count("day")) line.day = map["day"].as<std::string>();
  if (map.count("to")) line.to = map["to"].as<std::string>();
  if (map.count("words")) {
    const auto& words = map["words"].as<std::vector<std::string>>();
    line.command = words.front();
    line.arguments.assign(words.begin() + 1, words.end());
  }
  std::error_code unknown;
  if (map.count("config"))
    line.config_file = map["config"].as<std::string>();
  else if (std::filesystem::exists(kDefaultConfigFile, unknown))
    line.config_file = kDefaultConfigFile;

  GivenValues values;
  if (!line.config_file.empty()) {
    auto read = ReadConfigFile(line.config_file);
    if (!read) return read.error();
    values = std::move(*read);
  }
  for (const OptionSpec& spec : Specs()) {
    if (!map.count(spec.key)) continue;
    // Options replace the file's values, also those of repeatable keys.
    std::vector<GivenValue> given;
    for (const auto& text : map[spec.key].as<std::vector<std::string>>())
      given.push_back({text, "--"});
    values[spec.key] = std::move(given);
  }
  auto options = BuildOptions(values);
  if (!options) return options.error();
  line.options = std::move(*options);
  return line;
}

std::string KeysForRestart(const Options& running, const Options& wanted) {
  const Options::Policy& a = running.policy;
  const Options::Policy& b = wanted.policy;
  std::string keys;
  const auto note = [&](const char* key, bool same) {
    if (!same) keys += (keys.empty() ? "" : ", ") + std::string(key);
  };
  note("policy.listen", a.listen == b.listen);
  note("policy.metrics_listen", a.metrics_listen == b.metrics_listen);
  note("policy.socket_group", a.socket_group == b.socket_group);
  note("policy.socket_mode", a.socket_mode == b.socket_mode);
  note("milter.listen", running.milter.listen == wanted.milter.listen);
  note("tlsrpt.listen", running.tlsrpt.listen == wanted.tlsrpt.listen);
  note("tlsrpt.maillog", running.tlsrpt.maillog == wanted.tlsrpt.maillog);
  note("spool.directory", running.spool.directory == wanted.spool.directory);
  note("spool.keep_days", running.spool.keep_days == wanted.spool.keep_days);
  note("spool.max_bytes", running.spool.max_bytes == wanted.spool.max_bytes);
  note("spool.min_free", running.spool.min_free == wanted.spool.min_free);
  note("run.user", running.run.user == wanted.run.user);
  note("run.group", running.run.group == wanted.run.group);
  note("cache.directory", running.cache.directory == wanted.cache.directory);
  return keys;
}

std::string OptionsHelp(bool (*is_wanted)(std::string_view key)) {
  constexpr size_t kColumn = 26;
  std::string help;
  for (const OptionSpec& spec : Specs()) {
    if (!is_wanted(spec.key)) continue;
    std::string left = "  --" + spec.key;
    left.resize(std::max(left.size() + 1, kColumn), ' ');
    help += left;
    for (char c : spec.help) {
      help += c;
      if (c == '\n') help += std::string(kColumn, ' ');
    }
    if (spec.repeatable) help += "; repeatable";
    if (!spec.default_text.empty()) {
      help += "\n" + std::string(kColumn, ' ') + "[" + spec.default_text + "]";
    }
    help += '\n';
  }
  return help;
}

}  // namespace postern
