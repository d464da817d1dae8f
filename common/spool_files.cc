#include "common/spool_files.h"

#include <algorithm>
#include <filesystem>

namespace postern {
namespace {

constexpr std::string_view kSuffix = ".jsonl";

}  // namespace

std::string SpoolPath(const std::string& directory, Day day) {
  return directory + "/" + FormatDay(day) + std::string(kSuffix);
}

std::optional<Day> DayOfSpoolName(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  return ParseDay(name);
}

Result<std::vector<Day>> ListSpoolDays(const std::string& directory) {
  std::vector<Day> days;
  std::error_code failed;
  std::filesystem::directory_iterator entry(directory, failed);
  for (; !failed && entry != std::filesystem::directory_iterator();
       entry.increment(failed)) {
    const auto day = DayOfSpoolName(entry->path().filename().string());
    std::error_code unknown;
    if (day && entry->is_regular_file(unknown)) days.push_back(*day);
  }
  if (failed)
    return Error{"cannot read the folder " + directory + ": " +
                 failed.message()};
  std::sort(days.begin(), days.end());
  return days;
}

}  // namespace postern
