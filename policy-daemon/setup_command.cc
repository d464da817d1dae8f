#include "policy-daemon/setup_command.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <unistd.h>

#include "common/text.h"

#include "policy-daemon/ask_as_postfix.h"
#include "policy-daemon/our_entries.h"
#include "policy-daemon/postfix_editor.h"
#include "policy-daemon/postfix_files.h"
#include "policy-daemon/resolver_check.h"
#include "policy-daemon/setup_text.h"
#include "policy-daemon/wiring_record.h"
#include "policy-daemon/wiring_removal.h"

namespace postern {
namespace {

constexpr int kDone = 0, kLeft = 1, kUsage = 2, kTemporary = 75;
constexpr const char* kFiles[] = {"main.cf", "master.cf"};

void Say(const std::string& text) { std::fputs(text.c_str(), stdout); }

int Complain(const std::string& message, int exit_code) {
  std::fflush(stdout);
  std::fprintf(stderr, "postern-policy: %s\n",
               Printable(message, 2000).c_str());
  return exit_code;
}

class SetupCommand {
 public:
  SetupCommand(const CommandLine& line, const std::string& trouble)
      : options_(line.options),
        apply_(line.apply),
        remove_(line.remove),
        trouble_(trouble) {}

  int Run() {
    if (const Status read = Read(); !read)
      return Complain(read.error().message, kLeft);
    if (!postfix_.is_there()) return WithoutPostfix();
    FileDescriptor lock;
    if (apply_) {
      const std::string folder = postfix_.config_directory();
      if (access(folder.c_str(), W_OK) != 0) {
        const std::string why = std::strerror(errno);
        const bool is_root = geteuid() == 0;
        return Complain("cannot write to " + folder + ": " + why +
                            (is_root ? "" : "; run it as root"),
                        is_root ? kLeft : kUsage);
      }
      auto locked = LockFolder(folder);
      if (!locked) return Complain(locked.error().message, kLeft);
      if (!*locked)
        return Complain("another setup runs; try again when it is done",
                        kTemporary);
      lock = std::move(*locked);
      // Nobody but the administrator changes it from now on.
      if (const Status read = Read(); !read)
        return Complain(read.error().message, kLeft);
    }
    return remove_ ? Remove() : Wire();
  }

 private:
  Status Read() {
    auto postfix = ReadPostfixSettings();
    if (!postfix) return postfix.error();
    postfix_ = std::move(*postfix);
    if (!postfix_.is_there()) return Done{};
    record_path_ = WiringRecordPath(postfix_);
    auto record = ReadWiringRecord(record_path_);
    if (record) {
      record_ = std::move(*record);
    } else if (remove_) {
      // What is ours without doubt goes all the same.
      record_trouble_ = record.error().message;
    } else {
      return record.error();
    }
    return Done{};
  }

  int WithoutPostfix() const {
    if (!remove_)
      return Complain("there is no Postfix here (no postconf)", kLeft);
    if (!apply_) Say("There is no Postfix here: nothing to take out.\n");
    return kDone;
  }

  // --- In.

  int Wire() {
    WiringPlan plan =
        PlanWiring(postfix_, options_,
                   record_ ? record_->Entries() : std::vector<std::string>());
    if (options_.dane.enabled)
      for (std::string& warning : ResolverWarnings(postfix_, options_))
        plan.warnings.push_back(std::move(warning));
    Say("Postfix " + Printable(postfix_.version_text) + ", smtp(8) " +
        (postfix_.smtp_is_chrooted() ? "chrooted" : "not chrooted") + "\n");
    Say(ChangesText(plan.changes, postfix_.config_directory()));
    Say(RemarksText("warning", plan.warnings));
    Say(RemarksText("note", plan.notes));
    const int warned = plan.warnings.empty() ? kDone : kLeft;
    if (plan.changes.empty()) {
      Say("Nothing to change.\n");
      // A run that was killed may not have come to this.
      const int reloaded = apply_ && record_ ? Reload() : kDone;
      return std::max(reloaded, warned);
    }
    if (!apply_) {
      Say(ByHandText(plan.changes));
      Say("Nothing was changed. To change it: postern-policy setup --apply\n");
      return kLeft;
    }
    if (const Status is_file = HaveFiles(plan.changes); !is_file)
      return Complain(is_file.error().message, kLeft);
    if (const Status answered = Ask(); !answered)
      return Complain(answered.error().message +
                          ". Nothing was changed: all mail would wait for it",
                      kLeft);
    if (const Status wired = Write(plan.changes); !wired)
      return Complain(wired.error().message, kLeft);
    return std::max(Reload(), warned);
  }

  Status Ask() const {
    const ListenAddress* socket = SocketFor(options_.policy.listen, postfix_);
    if (!socket) return Error{"policy.listen names no socket"};
    return AskAt(NameForPostfix(*socket, postfix_), "policy", true);
  }

  Status AskAnother(const std::string& entry) const {
    const auto socketmap = Socketmap::Parse(entry);
    if (!socketmap) return Error{"it is no socketmap"};
    return AskAt(std::string(socketmap->socket), std::string(socketmap->map),
                 false);
  }

  Status AskAt(const std::string& socket, const std::string& map,
               bool is_ours) const {
    PostfixQuestion question;
    question.socket = socket;
    question.map = map;
    question.is_ours = is_ours;
    question.queue_directory = postfix_.queue_directory();
    question.inet_protocols = postfix_.Effective("inet_protocols");
    // Who only looks may not do as Postfix does.
    if (geteuid() == 0) {
      question.chrooted = postfix_.smtp_is_chrooted();
      question.user = postfix_.Effective("mail_owner");
    }
    return AskAsPostfix(question);
  }

  // The copies and the record come first: whatever becomes of us, it can be
  // undone.
  Status Write(const std::vector<Change>& changes) {
    for (const char* file : kFiles) {
      const std::string copy = BackupOf(file);
      std::error_code none;
      if (std::filesystem::exists(copy, none)) {
        if (record_) continue;
        // Of an earlier time, and kept then.
        const auto aside = MoveAside(copy);
        if (!aside) return aside.error();
        Say("note: " + copy + ", of an earlier setup, is " + *aside + " now\n");
      }
      const Status copied = CopyDurably(PathOf(file), copy);
      if (!copied) return copied.error();
    }
    const bool is_first = !record_;
    record_ = Merged(std::move(record_), changes);
    const Status written = WriteWiringRecord(record_path_, *record_);
    if (!written) return written.error();
    const Status made = Make(changes);
    if (!made) {
      if (is_first) ForgetIfUndone();
      return made.error();
    }
    Say("Done. As it was before: " + BackupOf("main.cf") +
        ", master.cf.before-postern\n"
        "To take it out again: postern-policy setup --remove --apply\n");
    return Done{};
  }

  // Of changes that could not be made, nothing is left.
  void ForgetIfUndone() {
    const auto postfix = ReadPostfixSettings();
    const auto no_answer = [](const std::string&) { return Status(Error{""}); };
    if (!postfix) return;
    const auto plan = PlanRemoval(*postfix, options_, record_, no_answer);
    if (plan.changes.empty() && plan.left.empty()) static_cast<void>(Forget());
  }

  // --- Out.

  int Remove() {
    const RemovalPlan plan = PlanRemoval(
        postfix_, options_, record_,
        [this](const std::string& entry) { return AskAnother(entry); });
    const bool is_nothing = plan.changes.empty() && plan.warnings.empty();
    if (is_nothing && !record_ && record_trouble_.empty()) {
      if (!apply_) Say("Nothing to take out.\n");
      return kDone;
    }
    if (!trouble_.empty())
      Say(RemarksText("warning", {trouble_ + " (defaults are used)"}));
    if (!record_trouble_.empty())
      Say(RemarksText("warning", {record_trouble_}));
    Say(ChangesText(plan.changes, postfix_.config_directory()));
    Say(RemarksText("left", plan.left));
    if (!apply_) return ShowOnly(plan);
    if (const Status is_file = HaveFiles(plan.changes); !is_file)
      return Complain(is_file.error().message, kLeft);
    if (const Status made = Make(plan.changes); !made)
      return Complain(made.error().message, kLeft);
    // A run that was killed may have changed something, and not come to this.
    const bool reloads = record_ || !plan.changes.empty();
    if (reloads && Reload() != kDone) return kLeft;
    // Whatever was planned: what counts is what Postfix reads now. While it
    // asks, the record is needed to find it.
    if (const Status read = Read(); !read)
      return Complain(read.error().message, kLeft);
    if (const auto places = WhatAsksUs(postfix_, options_, record_);
        !places.empty()) {
      for (const std::string& place : places) Complain(place, kLeft);
      return kLeft;
    }
    if (const Status forgotten = Forget(); !forgotten)
      return Complain(forgotten.error().message, kLeft);
    Say("Done.\n");
    return kDone;
  }

  static int ShowOnly(const RemovalPlan& plan) {
    Say(RemarksText("warning", plan.warnings));
    if (plan.changes.empty()) {
      Say("Nothing to take out.\n");
      return plan.warnings.empty() ? kDone : kLeft;
    }
    Say(ByHandText(plan.changes));
    Say("Nothing was changed. To change it: postern-policy setup --remove "
        "--apply\n");
    return kLeft;
  }

  // The record, and the copies that say nothing else than what is there.
  Status Forget() {
    // Without it, nobody knows of what time the copies are.
    if (!record_) return Done{};
    for (const char* file : kFiles) {
      const std::string copy = BackupOf(file);
      std::error_code none;
      if (!std::filesystem::exists(copy, none)) continue;
      const auto before = ReadFile(copy);
      const auto now = ReadFile(PathOf(file));
      if (before && now && MeanTheSame(*before, *now)) {
        const Status removed = RemoveDurably(copy);
        if (!removed) return removed.error();
      } else {
        Say("left: " + copy + " is kept: " + file +
            " differs from it otherwise, too\n");
      }
    }
    return RemoveDurably(record_path_);
  }

  // ---

  // postconf would put a file in the place of a link.
  Status HaveFiles(const std::vector<Change>& changes) const {
    for (const Change& change : changes) {
      const bool is_main = change.file == Change::File::kMainCf;
      const std::string path = PathOf(kFiles[is_main ? 0 : 1]);
      std::error_code none;
      if (std::filesystem::is_symlink(path, none))
        return Error{path +
                     " is a symbolic link, in the place of which "
                     "postconf would put a file. Nothing was changed: write "
                     "the lines above into the file that it points to, and "
                     "reload Postfix"};
    }
    return Done{};
  }

  // postconf writes files anew, as root's.
  Status Make(const std::vector<Change>& changes) const {
    std::vector<FileOwner> owners;
    for (const char* file : kFiles) {
      const auto owner = OwnerOf(PathOf(file));
      if (!owner) return owner.error();
      owners.push_back(*owner);
    }
    const Status made = MakeChanges(changes);
    for (size_t i = 0; i < owners.size(); ++i)
      if (const Status set = SetOwner(PathOf(kFiles[i]), owners[i]); !set)
        Say(RemarksText("warning", {set.error().message}));
    return made;
  }

  std::string PathOf(const char* file) const {
    return postfix_.config_directory() + "/" + file;
  }
  std::string BackupOf(const char* file) const {
    return PathOf(file) + ".before-postern";
  }

  int Reload() const {
    const auto reloaded = ReloadPostfix(postfix_);
    if (!reloaded)
      return Complain("Postfix was not reloaded: " + reloaded.error().message,
                      kLeft);
    Say(*reloaded == Reloaded::kYes
            ? "Postfix was reloaded.\n"
            : "Postfix does not run; it reads this when it starts.\n");
    return kDone;
  }

  const Options& options_;
  const bool apply_, remove_;
  const std::string& trouble_;
  PostfixSettings postfix_;
  std::string record_path_;
  std::optional<WiringRecord> record_;
  std::string record_trouble_;  // why it is not believed
};

}  // namespace

const char kSetupHelp[] =
    R"(postern-policy setup wires the daemon into the Postfix of this machine: it
shows which lines of main.cf and master.cf it would change, and why.

Usage:
  postern-policy setup                   shows; changes nothing
  postern-policy setup --apply           changes it, and reloads Postfix
  postern-policy setup --remove          shows what it would take out again
  postern-policy setup --remove --apply  takes it out, and reloads Postfix

Other tables of smtp_tls_policy_maps stay, and are asked first; another MTA-STS
daemon is replaced. --apply asks the daemon first, as smtp(8) would, and changes
nothing where it does not answer. It keeps main.cf.before-postern and
master.cf.before-postern beside the files, and in postern-setup.json what was
there before: --remove goes back to that, and leaves alone what you have changed
since, or what something else needs by now. Doing it twice changes nothing the
second time.

Another instance of Postfix:
  MAIL_CONFIG=/etc/postfix-out postern-policy setup

Exit codes: 0 done, or nothing to do; 1 something would change (without
--apply), is left to do, or is warned of; 2 usage or configuration; 75 another
setup runs. Of --remove --apply, 1 says that something still asks the daemon
(the last lines name it), or that it could not be taken out.
)";

std::vector<std::string> WithoutConfiguration(int argc,
                                              const char* const* argv) {
  std::vector<std::string> words;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--config" || word == "-c")
      ++i;  // with its value
    else if (!word.starts_with("--config=") && !word.starts_with("-c"))
      words.push_back(word);
  }
  words.push_back("--config=/dev/null");
  return words;
}

void Setup(const CommandLine& line, const std::string& trouble) {
  int exit_code = kUsage;
  if (!line.arguments.empty())
    exit_code = Complain(
        "setup takes --apply and --remove alone (setup --help explains them)",
        kUsage);
  else
    exit_code = SetupCommand(line, trouble).Run();
  std::fflush(stdout);
  std::_Exit(exit_code);
}

}  // namespace postern
