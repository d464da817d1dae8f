#include "policy-daemon/setup_text.h"

#include "common/text.h"

#include "policy-daemon/postfix_editor.h"

namespace postern {
namespace {

// A list of tables may be long, and none of it is to be left out.
constexpr size_t kMaxValue = 10000;

constexpr size_t kColumns = 79;

// Below each other, and never apart within a word.
std::string Wrapped(const std::string& text, const std::string& indent) {
  std::string lines;
  size_t column = kColumns;
  for (std::string_view word : SplitList(text, " ")) {
    const bool fits = column + 1 + word.size() <= kColumns;
    if (!fits) lines += (lines.empty() ? "" : "\n") + indent;
    if (fits) lines += ' ';
    lines += word;
    column = word.size() + (fits ? column + 1 : indent.size());
  }
  return lines + "\n";
}

std::string ChangeText(const Change& change) {
  const bool is_main = change.file == Change::File::kMainCf;
  const auto shown = [&](const std::string& value) {
    const std::string text = Printable(value, kMaxValue);
    return is_main ? change.name + " =" + (text.empty() ? "" : " " + text)
                   : text;
  };
  std::string text = "  ";
  if (change.after)
    text += shown(*change.after);
  else
    text += change.name + " goes out";
  std::string was = "was ";
  if (!change.before)
    was += is_main ? "unset" : "not there";
  else
    was +=
        change.before->empty() ? "empty" : Printable(*change.before, kMaxValue);
  return text + "\n" +
         Wrapped(was + "; " + Printable(change.why, kMaxValue), "      ");
}

}  // namespace

std::string ChangesText(const std::vector<Change>& changes,
                        const std::string& config_directory) {
  std::string text;
  for (const auto& [file, name] :
       {std::pair(Change::File::kMainCf, "main.cf"),
        std::pair(Change::File::kMasterCf, "master.cf")}) {
    std::string of_file;
    for (const Change& change : changes)
      if (change.file == file) of_file += ChangeText(change);
    if (of_file.empty()) continue;
    text += std::string(name) + " (" + Printable(config_directory) + "/" +
            name + "):\n" + of_file;
  }
  return text;
}

std::string ByHandText(const std::vector<Change>& changes) {
  std::string text = "By hand the same:\n";
  for (const Change& change : changes)
    text += "  " + Printable(CommandFor(change), kMaxValue) + "\n";
  return text + "  postfix reload\n";
}

std::string RemarksText(const char* kind,
                        const std::vector<std::string>& remarks) {
  std::string text;
  for (const std::string& remark : remarks)
    text +=
        Wrapped(std::string(kind) + ": " + Printable(remark, kMaxValue), "");
  return text;
}

}  // namespace postern
