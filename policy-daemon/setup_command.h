// `postern-policy setup`: wires us into the Postfix of this machine, and out of
// it again; without --apply it only shows what it would do.
//
// What is changed is planned by wiring and wiring_removal, made by
// postfix_editor, and remembered by wiring_record. Nothing is changed that
// would have mail wait for a daemon that does not answer.
#pragma once

#include <string>
#include <vector>

#include "common/options.h"

namespace postern {

// What `setup --help` prints.
extern const char kSetupHelp[];

// Does not return: ends with the exit code (0 done, 1 warnings, or something
// would change or is left undone, 2 usage or configuration, 75 another setup
// runs). Of --remove --apply, 1 says that something still asks the daemon, or
// that it could not be taken out: a package that is removed goes by that.
// `trouble`: why the configuration could not be read, and defaults are used;
// "": it could.
[[noreturn]] void Setup(const CommandLine& line, const std::string& trouble);

// The words of a command line but those that name the configuration file, for
// `setup --remove`, which is to work where that is broken.
std::vector<std::string> WithoutConfiguration(int argc,
                                              const char* const* argv);

}  // namespace postern
