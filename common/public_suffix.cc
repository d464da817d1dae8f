#include "common/public_suffix.h"

#include <cstring>
#include <string>

#include <libpsl.h>

namespace postern {
namespace {

// Loaded once, and never changed or freed. Null only without memory.
const psl_ctx_t* List() {
  static const psl_ctx_t* const list = psl_latest(nullptr);
  return list;
}

}  // namespace

void LoadPublicSuffixes() { List(); }

std::string_view RegistrableDomain(std::string_view name) {
  if (!List()) return name;
  const std::string text(name);
  const char* owner = psl_registrable_domain(List(), text.c_str());
  return owner ? name.substr(name.size() - std::strlen(owner)) : name;
}

bool IsPublicSuffix(std::string_view name) {
  return List() && psl_is_public_suffix(List(), std::string(name).c_str()) == 1;
}

}  // namespace postern
