// A configuration file.
#include <sys/mman.h>
#include <unistd.h>

#include "common/options.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const int file = memfd_create("postern.conf", MFD_CLOEXEC);
  Require(file >= 0 && write(file, data, size) == static_cast<ssize_t>(size),
          "the file is written");
  const std::string config = "--config=/proc/self/fd/" + std::to_string(file);
  const char* const argv[] = {"postern-policy", config.c_str()};
  const auto line = ParseCommandLine(2, argv);
  close(file);
  Require(line || !line.error().message.empty(), "an error has a message");
  if (line)
    Require(!line->options.policy.listen.empty() &&
                line->options.policy.max_lookups > 0,
            "options have values that work");
  return 0;
}
