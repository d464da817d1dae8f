// Prints the keys of postern.conf for its manual page, as scdoc(5) text, from
// the table that the programs read. Runs while the pages are built, and is not
// installed.

#include <cctype>
#include <cstdio>
#include <string>
#include <string_view>

#include "common/option_table.h"

namespace postern {
namespace {

// What scdoc would take for markup gets a backslash before it; at the beginning
// of a line, that is any sign. Help is one paragraph.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    const bool is_first = escaped.empty();
    if (std::string_view("\\`_*+").find(c) != text.npos ||
        (is_first && !std::isalnum(static_cast<unsigned char>(c))))
      escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

std::string SectionOf(const OptionSpec& spec) {
  return spec.key.substr(0, spec.key.find('.'));
}

std::string Entry(const OptionSpec& spec) {
  std::string entry = "*" + Escaped(spec.key) + "* = _" +
                      Escaped(spec.expected) + "_\n\t" + Escaped(spec.help);
  if (spec.repeatable) entry += "; repeatable";
  entry += ".";
  if (!spec.default_text.empty())
    entry += " Default: *" + Escaped(spec.default_text) + "*";
  return entry + "\n";
}

}  // namespace
}  // namespace postern

int main() {
  std::string section;
  for (const postern::OptionSpec& spec : postern::Specs()) {
    if (section != postern::SectionOf(spec)) {
      section = postern::SectionOf(spec);
      std::printf("## [%s]\n\n", section.c_str());
    }
    std::printf("%s\n", postern::Entry(spec).c_str());
  }
  return 0;
}
