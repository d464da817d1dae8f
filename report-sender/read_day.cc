#include "report-sender/read_day.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <set>
#include <utility>

#include <sys/stat.h>

#include "common/spool_files.h"
#include "common/spool_reader.h"

namespace postern {
namespace {

Status ReadFile(const std::string& path, DayTotals& totals) {
  auto reader = SpoolReader::Open(path);
  if (!reader) return reader.error();
  while (const auto line = reader->NextLine()) {
    try {
      totals.AddLine(*line);
    } catch (const std::bad_alloc&) {
      throw;  // not the line's fault: the day has to wait
    } catch (const std::exception&) {
      totals.CountLost();
    }
  }
  // docs/spool-format.md, "Reading": without '\n' when the day is over.
  if (reader->status() && reader->unfinished()) totals.AddLine("");
  return reader->status();
}

// One that cannot be looked at is none.
bool IsAbsent(const std::filesystem::path& folder) {
  std::error_code unknown;
  return std::filesystem::status(folder, unknown).type() ==
         std::filesystem::file_type::not_found;
}

}  // namespace

std::vector<std::string> MissingFolders(
    const std::vector<std::string>& directories, bool had_outcomes) {
  std::vector<std::string> missing;
  for (const std::string& directory : directories) {
    const bool is_ours = &directory == &directories.front();
    if ((had_outcomes || !is_ours) && IsAbsent(directory))
      missing.push_back(directory);
  }
  return missing;
}

Result<std::vector<std::string>> ReadDay(
    const std::vector<std::string>& directories, bool had_outcomes, Day day,
    DayTotals& totals) {
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const std::string& directory : directories) {
    const std::string path = SpoolPath(directory, day);
    struct stat file {};
    if (stat(path.c_str(), &file) != 0) {
      const int why = errno;
      const bool is_ours = &directory == &directories.front();
      const std::filesystem::path folder(directory);
      if (why != ENOENT || (is_ours && IsAbsent(folder.parent_path())))
        return Error{"cannot read " + path + ": " + std::strerror(why)};
      continue;
    }
    if (!seen.emplace(file.st_dev, file.st_ino).second) continue;
    const Status read = ReadFile(path, totals);
    if (!read) return read.error();
  }
  return MissingFolders(directories, had_outcomes);
}

}  // namespace postern
