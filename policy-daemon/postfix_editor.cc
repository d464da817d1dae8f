#include "policy-daemon/postfix_editor.h"

#include <utility>

#include "common/run_program.h"
#include "common/text.h"

namespace postern {
namespace {

std::string OptionFor(const Change& change) {
  const bool is_main = change.file == Change::File::kMainCf;
  if (!change.after) return is_main ? "-X" : "-MX";
  return is_main ? "-e" : "-Me";
}

std::string WordFor(const Change& change) {
  if (!change.after) return change.name;
  const bool is_main = change.file == Change::File::kMainCf;
  return change.name + (is_main ? " = " : "=") + *change.after;
}

// In the order in which they are made, what one call of postconf does.
using Group = std::vector<Change>;
std::vector<Group> GroupsOf(const std::vector<Change>& changes) {
  std::vector<Group> groups;
  for (const char* option : {"-Me", "-e", "-X", "-MX"}) {
    Group group;
    for (const Change& change : changes)
      if (OptionFor(change) == option) group.push_back(change);
    if (!group.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

Status Make(const Group& group) {
  std::vector<std::string> words = {"postconf", OptionFor(group.front())};
  for (const Change& change : group) words.push_back(WordFor(change));
  const auto output = OutputOf(words);
  return output ? Status(Done{}) : output.error();
}

Change Reversed(Change change) {
  std::swap(change.before, change.after);
  return change;
}

bool IsMade(const Change& change, const PostfixSettings& postfix) {
  if (change.file == Change::File::kMainCf) {
    const auto present = postfix.Explicit(change.name);
    // postconf shows one blank between words.
    return present.has_value() == change.after.has_value() &&
           (!present ||
            WithSingleBlanks(*present) == WithSingleBlanks(*change.after));
  }
  const PostfixService* service = postfix.Service(change.name);
  return service ? service->line == change.after : !change.after;
}

Status Check(const std::vector<Change>& changes) {
  const auto postfix = ReadPostfixSettings();
  if (!postfix) return postfix.error();
  for (const Change& change : changes)
    if (!IsMade(change, *postfix))
      return Error{change.name +
                   " was set, but Postfix does not read it so; is "
                   "it in the file twice?"};
  return Done{};
}

// Of `tried`, what is there and should not: a call that failed may have changed
// something, too.
std::vector<Change> ToUndo(const std::vector<Change>& tried,
                           const PostfixSettings& postfix) {
  std::vector<Change> back;
  for (const Change& change : tried)
    if (!IsMade(Reversed(change), postfix)) back.push_back(Reversed(change));
  return back;
}

Error Undone(const Error& why, const std::vector<Change>& tried) {
  const auto unknown = [&](const Error& error) {
    return Error{why.message +
                 "; what is there now could not be read: " + error.message};
  };
  const auto failed = ReadPostfixSettings();
  if (!failed) return unknown(failed.error());
  const std::vector<Change> back = ToUndo(tried, *failed);
  if (back.empty()) return Error{why.message + "; nothing was changed"};
  // What comes of it is looked at.
  for (const Group& group : GroupsOf(back)) static_cast<void>(Make(group));
  const auto now = ReadPostfixSettings();
  if (!now) return unknown(now.error());
  std::string left;
  for (const Change& change : ToUndo(tried, *now))
    left += (left.empty() ? "" : ", ") + change.name;
  if (left.empty())
    return Error{why.message + "; what was changed is set back"};
  return Error{why.message + "; changed, and not set back: " + left};
}

// For a shell.
std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

}  // namespace

Status MakeChanges(const std::vector<Change>& changes) {
  std::vector<Change> tried;
  for (const Group& group : GroupsOf(changes)) {
    tried.insert(tried.end(), group.begin(), group.end());
    const Status done = Make(group);
    if (!done) return Undone(done.error(), tried);
  }
  const Status checked = Check(changes);
  if (!checked) return Undone(checked.error(), tried);
  return Done{};
}

std::string CommandFor(const Change& change) {
  const std::string word = WordFor(change);
  return "postconf " + OptionFor(change) + " " +
         (change.after ? Quoted(word) : word);
}

Result<Reloaded> ReloadPostfix(const PostfixSettings& postfix) {
  const std::string folder = postfix.config_directory();
  // Its lock alone tells: it ends well only where nobody holds it.
  const auto test = RunProgram(
      {postfix.Effective("daemon_directory") + "/master", "-c", folder, "-t"});
  if (test && test->ok()) return Reloaded::kNotRunning;
  // With its folder, no other instance is meant.
  const auto reloaded = OutputOf({"postfix", "-c", folder, "reload"});
  if (!reloaded) return reloaded.error();
  return Reloaded::kYes;
}

}  // namespace postern
