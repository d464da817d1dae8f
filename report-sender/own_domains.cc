#include "report-sender/own_domains.h"

#include <algorithm>

#include "common/domain_name.h"
#include "common/log.h"

#include "report-sender/postfix_beside.h"

namespace postern {
namespace {

// Strangers choose what is asked for.
constexpr size_t kMaxKnown = 100000;

}  // namespace

void OwnDomains::Add(std::string_view domain) {
  if (const auto name = NormalizeDomain(domain)) known_[*name] = true;
}

void OwnDomains::AddList(std::string_view value) {
  for (std::string& word : PostfixList(value)) {
    if (word.starts_with('!')) continue;
    if (word.find(':') != word.npos)
      tables_.push_back(std::move(word));
    else
      Add(word);
  }
}

bool OwnDomains::HasExactly(const std::string& domain) {
  const auto known = known_.find(domain);
  if (known != known_.end()) return known->second;
  bool found = false;
  for (size_t i = 0; i < tables_.size() && !found;) {
    const auto has = lookup_(tables_[i], domain);
    if (!has) {
      Log(LogLevel::kWarn, "own_domains_not_known",
          {{"table", tables_[i]},
           {"reason", has.error().message},
           {"effect",
            "reports may go to domains of ours that only this table names"},
           {"advice",
            "let report.user read it, or list the addresses in "
            "report.suppress; then reload"}});
      tables_.erase(tables_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    found = *has;
    ++i;
  }
  if (known_.size() < kMaxKnown) known_[domain] = found;
  return found;
}

bool OwnDomains::Has(const std::string& domain) {
  for (std::string name = domain;; name.erase(0, name.find('.') + 1)) {
    if (HasExactly(name)) return true;
    if (name.find('.') == name.npos) return false;
  }
}

}  // namespace postern
