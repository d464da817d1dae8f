// JournalFollower: what smtp(8) processes say, from the systemd journal.
//
// Only fields that journald adds by itself are believed: _COMM (all processes
// called "smtp" are read), _PID, and when the kernel took the message. So no
// other process can speak for one that asked us for a policy. The tag
// (SYSLOG_IDENTIFIER) is checked as that of a line in a file is.
//
// The position is the journal's cursor. Where the journal is not there yet or
// was damaged, it is opened again after a while.
#pragma once

#include <memory>
#include <string>

#include "policy-daemon/log_source.h"

struct sd_journal;

namespace postern {

class JournalFollower final : public LogSource {
 public:
  // `directory`: that of the journal's files; "": where the system has them.
  JournalFollower(std::string directory, std::string position_path);
  ~JournalFollower() override { Save(); }

  bool ReadSome(SteadyTime now, const Take& take) override;
  void Save() override;
  const std::string& problem() const override { return problem_; }
  const std::string& save_problem() const override { return save_problem_; }

 private:
  struct Close {
    void operator()(sd_journal* journal) const;
  };
  static constexpr Seconds kReopenInterval{30};
  static constexpr int kAtOnce = 1000;  // entries

  int Open();
  int Seek();
  void TakeEntry(const Take& take);
  // A field of the entry at hand, valid until the next one is asked for.
  std::string_view Field(const char* name);
  bool Failed(int result, const char* what);

  const std::string directory_;
  const std::string position_path_;
  std::unique_ptr<sd_journal, Close> journal_;
  SteadyTime open_at_{};  // not before
  std::string cursor_;    // of the last entry; "": none yet
  bool saved_ = true;
  SteadyTime saved_at_{};
  std::string problem_;
  std::string save_problem_;
};

}  // namespace postern
