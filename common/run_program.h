// Runs another program to its end, without a shell, and returns what it said.
//
// For small, quick programs of this machine (postconf, postfix): the call
// blocks, its output is bounded, and a program that does not end in time is
// killed with what it started. It gets our environment, /dev/null as its
// standard input, and none of our files.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

namespace postern {

struct ProgramOutput {
  int exit_status = 0;  // 128 + N where signal N ended it
  std::string out, err;

  bool ok() const { return exit_status == 0; }
};

struct ProgramLimits {
  std::chrono::milliseconds patience{20000};
  size_t output_bytes = 1 << 20;  // of each; more is an Error
};

// words[0] is a path, or a name that is looked for in PATH and then where
// administrators' programs are (a PATH without /usr/sbin is common after su).
// An Error: it could not be run, did not end in time, or said too much.
// REQUIRES: !words.empty(); nobody else waits for our children.
Result<ProgramOutput> RunProgram(const std::vector<std::string>& words,
                                 const ProgramLimits& limits = {});

// Where the program of a name is, as RunProgram looks for it.
std::optional<std::string> ProgramPath(const std::string& name);

// Its standard output without the line's end; an Error also where it failed,
// with what it said.
Result<std::string> OutputOf(const std::vector<std::string>& words,
                             const ProgramLimits& limits = {});

}  // namespace postern
