// packaging/postern.conf, which packages install: as it is, and as it is once
// somebody has taken the '#' from every example in it.
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/options.h"

namespace postern {
namespace {

std::vector<std::string> ShippedLines() {
  std::ifstream file(POSTERN_CONF);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// "#key = value"; behind "# " stands what people read.
bool IsExample(const std::string& line) {
  return line.size() > 1 && line[0] == '#' && line[1] != ' ';
}

Result<CommandLine> Read(const std::string& path) {
  const std::string config = "--config=" + path;
  const char* argv[] = {"postern-policy", config.c_str()};
  return ParseCommandLine(2, argv);
}

TEST(ShippedConfiguration, SetsNothingButTheUser) {
  const auto line = Read(POSTERN_CONF);
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->options.run.user, "postern");
  std::string set;
  for (const std::string& text : ShippedLines())
    if (!text.empty() && text[0] != '#' && text[0] != '[') set += text;
  EXPECT_EQ(set, "user = postern");
}

TEST(ShippedConfiguration, IsReadWithAllItsExamples) {
  const std::string path = testing::TempDir() + "postern_conf_examples";
  std::ofstream file(path);
  size_t examples = 0;
  for (const std::string& text : ShippedLines()) {
    examples += IsExample(text);
    file << (IsExample(text) ? text.substr(1) : text) << '\n';
  }
  file.close();
  EXPECT_GT(examples, 10u);
  const auto line = Read(path);
  EXPECT_TRUE(line) << line.error().message;
}

// Else it would not be tried.
TEST(ShippedConfiguration, HasItsExamplesRightBehindTheSign) {
  for (const std::string& text : ShippedLines())
    if (text.starts_with("# ") && text.find(" = ") != std::string::npos)
      ADD_FAILURE() << text;
}

}  // namespace
}  // namespace postern
