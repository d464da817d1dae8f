// The table of keys: what postern.conf and the command line can say.
//
// A row has all there is to know of a key. Reading (options.cc), --help and
// postern.conf(5) go through the rows in their order, so that a new key is a
// row here, and nothing else.
//
// How texts become values stands beside the rows, with the parsers that
// options.h declares.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/options.h"

namespace postern {

// Stores a value; false: the text does not fit.
using Setter = std::function<bool(Options&, const std::string& text)>;

struct OptionSpec {
  std::string key;           // "section.name"
  std::string default_text;  // "": set() is not called without a value; what
                             // counts then is in `help`, "(default: ...)"
  std::string expected;      // what a value looks like
  std::string help;
  bool repeatable;
  Setter set;
};

// In the order in which people read them; keys of a section stand together.
const std::vector<OptionSpec>& Specs();

}  // namespace postern
