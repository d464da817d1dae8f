// The commands of postern-report but serve: for operators, on a terminal or in
// scripts. Each returns the program's exit code.
#pragma once

#include "common/options.h"

namespace postern {

// Nothing is written or sent.
int PreviewReports(const CommandLine& line);

// A day's reports, now; with --to, to that address alone, and not recorded.
int SendReports(const CommandLine& line);

// What DNS has to have of the keys that sign, as lines of a zone file.
int ShowDkim(const CommandLine& line);

// What is in the queue.
int ReportStatus(const CommandLine& line);

// `retry ID`, `drop ID`.
int ChangeReports(const CommandLine& line);

// `take-bounce`: a mail that came back, on standard input.
int TakeBounce(const CommandLine& line);

// `resume ADDRESS`: ends its pause.
int ResumeAddress(const CommandLine& line);

}  // namespace postern
