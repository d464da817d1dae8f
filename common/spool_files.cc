#include "common/spool_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>

#include "common/file_descriptor.h"

namespace postern {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".jsonl";

fs::path ReportedFolder(const std::string& directory) {
  return fs::path(directory).parent_path() / "reported";
}

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

bool IsMarkedReported(const std::string& directory, Day day) {
  std::error_code unknown;
  return fs::exists(ReportedFolder(directory) / FormatDay(day), unknown);
}

Status MarkReported(const std::string& directory, Day day) {
  const fs::path folder = ReportedFolder(directory);
  std::error_code failed;
  fs::create_directory(folder, failed);
  const std::string path = folder / FormatDay(day);
  const FileDescriptor mark(
      open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!mark) return Error{"cannot make " + path + ": " + std::strerror(errno)};
  for (fs::directory_iterator entry(folder, failed), end;
       !failed && entry != end; entry.increment(failed)) {
    const auto marked = ParseDay(entry->path().filename().string());
    std::error_code unknown;
    if (marked && *marked != day &&
        !fs::exists(SpoolPath(directory, *marked), unknown) && !unknown)
      fs::remove(entry->path(), unknown);
  }
  return Done{};
}

}  // namespace postern
