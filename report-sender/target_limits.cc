#include "report-sender/target_limits.h"

#include "common/public_suffix.h"
#include "common/text.h"

namespace postern {

bool TargetLimits::Take(const std::string& domain,
                        const Destination& destination) {
  const auto* url = std::get_if<HttpsUrl>(&destination);
  // As receivers do, the case of the local part is ignored.
  const std::string target =
      url ? url->host
          : ToLowerAscii(std::get<MailAddress>(destination).address);
  const std::string host = target.substr(target.rfind('@') + 1);
  const std::string owner(RegistrableDomain(host));
  const std::string about(RegistrableDomain(domain));
  if (owner == about) return true;
  uint32_t& of_target = taken_[target];
  uint32_t& of_owners = taken_[about + " " + owner];
  if (of_target >= limit_ || of_owners >= limit_) return false;
  ++of_target;
  ++of_owners;
  return true;
}

}  // namespace postern
