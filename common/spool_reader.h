// SpoolReader: the outcomes of a day file, one after the other, in bounded
// memory.
//
// Lines that are none (torn, foreign, longer than kMaxOutcomeLine) are skipped
// and counted. A last line without '\n' may still be being written: it is left
// for later. So a reader can follow the file, by calling Next() again, and
// another can go on at its offset(). Which file comes next is the caller's
// business (common/spool_files.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/file_descriptor.h"
#include "common/outcome.h"
#include "common/result.h"

namespace postern {

class SpoolReader {
 public:
  // REQUIRES: a line begins at `offset`.
  static Result<SpoolReader> Open(const std::string& path, uint64_t offset = 0);
  // nullopt: for now there is no more, or reading failed (status()).
  std::optional<Outcome> Next();

  // The next whole line, its '\n' included, as it is; "" for one that is too
  // long. For who has a faster way than Next(); holds until the next call.
  std::optional<std::string_view> NextLine();

  // Where the first line begins that neither has passed.
  uint64_t offset() const { return offset_; }
  // Lines that Next() passed because they are none.
  uint64_t skipped() const { return skipped_; }
  // After the last line: whether there are bytes without '\n' behind it. They
  // are torn, if nobody writes the file any more.
  bool unfinished() const { return dropped_ > 0 || begin_ < buffer_.size(); }
  const Status& status() const { return status_; }

 private:
  SpoolReader(std::string path, FileDescriptor fd, uint64_t offset);

  // False: for now there is no more, or reading failed.
  bool ReadMore();

  std::string path_;
  FileDescriptor fd_;
  std::string buffer_;
  size_t begin_ = 0;      // in buffer_, of the line at offset_
  size_t scanned_ = 0;    // in buffer_: up to here it has no end
  uint64_t dropped_ = 0;  // its bytes before begin_, where it is too long
  uint64_t offset_;
  uint64_t skipped_ = 0;
  Status status_ = Done{};
};

}  // namespace postern
