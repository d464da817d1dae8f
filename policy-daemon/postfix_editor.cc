#include "policy-daemon/postfix_editor.h"

#include <algorithm>
#include <utility>

#include "common/run_program.h"
#include "common/text.h"

namespace postern {
namespace {

std::vector<std::string> WordsFor(const Change& change) {
  const bool is_main = change.file == Change::File::kMainCf;
  if (!change.after)
    return {"postconf", is_main ? "-X" : "-MX", change.name};
  return {"postconf", is_main ? "-e" : "-Me",
          change.name + (is_main ? " = " : "=") + *change.after};
}

Status Make(const Change& change) {
  const auto output = OutputOf(WordsFor(change));
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

// Services that are added first, those that go last.
int Turn(const Change& change) {
  if (change.file == Change::File::kMainCf) return 1;
  return change.after ? 0 : 2;
}

Status Check(const std::vector<Change>& changes) {
  const auto postfix = ReadPostfixSettings();
  if (!postfix) return postfix.error();
  for (const Change& change : changes)
    if (!IsMade(change, *postfix))
      return Error{change.name + " was set, but Postfix does not read it so; is "
                   "it in the file twice?"};
  return Done{};
}

Error Undone(const Error& why, const std::vector<Change>& made) {
  std::string message = why.message + "; ";
  for (auto change = made.rbegin(); change != made.rend(); ++change) {
    const Status undone = Make(Reversed(*change));
    if (!undone)
      return Error{message + change->name +
                   " could not be set back: " + undone.error().message};
  }
  return Error{message + (made.empty() ? "nothing was changed"
                                       : "what was changed is set back")};
}

// For a shell.
std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

}  // namespace

Status MakeChanges(const std::vector<Change>& changes) {
  std::vector<Change> in_turn = changes;
  std::stable_sort(
      in_turn.begin(), in_turn.end(),
      [](const Change& a, const Change& b) { return Turn(a) < Turn(b); });
  std::vector<Change> made;
  for (const Change& change : in_turn) {
    const Status done = Make(change);
    if (!done) return Undone(done.error(), made);
    made.push_back(change);
  }
  const Status checked = Check(changes);
  if (!checked) return Undone(checked.error(), made);
  return Done{};
}

std::string CommandFor(const Change& change) {
  const auto words = WordsFor(change);
  return words[0] + " " + words[1] + " " +
         (change.after ? Quoted(words[2]) : words[2]);
}

Result<Reloaded> ReloadPostfix() {
  const auto status = RunProgram({"postfix", "status"});
  if (!status) return status.error();
  if (!status->ok()) return Reloaded::kNotRunning;
  const auto reloaded = OutputOf({"postfix", "reload"});
  if (!reloaded) return reloaded.error();
  return Reloaded::kYes;
}

}  // namespace postern
