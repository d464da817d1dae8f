#include "report-sender/read_day.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
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
  while (const auto line = reader->NextLine()) totals.AddLine(*line);
  // docs/spool-format.md, "Reading": without '\n' when the day is over.
  if (reader->status() && reader->unfinished()) totals.AddLine("");
  return reader->status();
}

}  // namespace

Status ReadDay(const std::vector<std::string>& directories, Day day,
               DayTotals& totals) {
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const std::string& directory : directories) {
    const std::string path = SpoolPath(directory, day);
    struct stat file {};
    if (stat(path.c_str(), &file) != 0) {
      // The first outcome makes the folder, and the day's first its file.
      std::error_code unknown;
      if (errno == ENOENT &&
          std::filesystem::is_directory(
              std::filesystem::path(directory).parent_path(), unknown))
        continue;
      return Error{"cannot read " + path + ": " + std::strerror(errno)};
    }
    if (!seen.emplace(file.st_dev, file.st_ino).second) continue;
    const Status read = ReadFile(path, totals);
    if (!read) return read;
  }
  return Done{};
}

}  // namespace postern
