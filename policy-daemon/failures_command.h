// `postern-policy failures`: which sessions with other domains failed lately,
// and why, from the spool (docs/spool-format.md); as a table or line by line,
// once or as it happens.
//
// Memory is bounded, whatever is in the spool: SpoolTail, FailureTable.
#pragma once

#include <cstdio>
#include <functional>
#include <string>

#include "common/options.h"

namespace postern {

// What `failures --help` prints.
extern const char kFailuresHelp[];

// Returns the exit code: 0 fine, whether there are failures or not; 1 there is
// no spool, or it cannot be read; 2 usage.
int Failures(const CommandLine& line);

struct FailuresRequest {
  std::string directory;  // of the day files
  WallTime since{};
  std::string domain;  // in normal form; "": all
  bool json = false;
  // What --follow does where there is no more for now; false: it is over.
  std::function<bool()> wait;
};

// Prints to `out`, and what is no answer to standard error. Returns the exit
// code.
int PrintFailures(const FailuresRequest& request, std::FILE* out);

}  // namespace postern
