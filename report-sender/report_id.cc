#include "report-sender/report_id.h"

#include <openssl/sha.h>

#include "common/text.h"

namespace postern {
namespace {

// Enough that no two are alike, and a line can hold it with a domain.
constexpr size_t kIdBytes = 16;
constexpr size_t kMaxUniqueId = 32;

std::string EpochSeconds(WallTime time) {
  return std::to_string(time.time_since_epoch().count());
}

// RFC 8460 section 5.1: letters and digits.
std::string UniqueId(std::string_view instance) {
  std::string id;
  for (char c : instance)
    if (IsAsciiAlnum(c) && id.size() < kMaxUniqueId) id += c;
  return id;
}

}  // namespace

WallTime DayBegin(Day day) { return day; }

WallTime DayEnd(Day day) {
  return WallTime(day) + std::chrono::days(1) - Seconds(1);
}

std::string ReportId(Day day, std::string_view domain,
                     const Submitter& submitter) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text = FormatDay(day);
  for (std::string_view part : {domain, std::string_view(submitter.domain),
                                std::string_view(submitter.instance)})
    text.append(1, '\0').append(part);
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         hash);
  std::string id;
  for (size_t i = 0; i < kIdBytes; ++i)
    id += {kHex[hash[i] >> 4], kHex[hash[i] & 15]};
  return id + "@" + submitter.domain;
}

std::string ReportFileName(Day day, std::string_view domain,
                           const Submitter& submitter) {
  std::string name = submitter.domain + "!" + std::string(domain) + "!" +
                     EpochSeconds(DayBegin(day)) + "!" +
                     EpochSeconds(DayEnd(day));
  const std::string unique = UniqueId(submitter.instance);
  if (!unique.empty()) name += "!" + unique;
  return name + ".json.gz";
}

}  // namespace postern
