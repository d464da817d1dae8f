// Starts another program without a shell.
//
// It gets our environment, default signals and none of our files; it leads a
// process group of its own, so that kill(-pid) ends it with what it started.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "common/file_descriptor.h"
#include "common/result.h"

namespace postern {

struct Pipe {
  FileDescriptor read, write;
};
// Both ends are closed in programs that are started.
Result<Pipe> MakePipe();

// Its standard streams; one may be used twice.
struct ChildStreams {
  int input = -1, output = -1, error = -1;
};

// Its process id; the caller waits for it (an inherited SIG_IGN of SIGCHLD, by
// which nobody learns how a child ended, is undone). An Error: "cannot run
// PATH: why". REQUIRES: !words.empty(); words[0] is what the program is told it
// is called.
Result<pid_t> StartChild(const std::string& path,
                         std::vector<std::string> words,
                         const ChildStreams& streams);

}  // namespace postern
