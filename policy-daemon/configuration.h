// What the daemon takes from files, at start and at every reload: the options,
// and what they name. Loading blocks; taking it up (Engine::Use) does not.
#pragma once

#include <memory>

#include "common/beast_https.h"
#include "common/options.h"

#include "policy-daemon/overrides.h"

namespace postern {

struct Configuration {
  Options options;
  Overrides overrides;
  std::shared_ptr<BeastHttps::Trust> trust;
};

// The Error names the file, the line where there is one, and what to do.
Result<Configuration> LoadConfiguration(Options options);

}  // namespace postern
