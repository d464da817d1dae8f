// SpoolTail: the outcomes of the spool since a day, in the order of its files,
// and what comes after: across midnight, and where a day's file was moved away
// and begun anew.
//
// A folder or a file that is not there yet is waited for, that is, Next() has
// nothing for now. A day is over when a later one has a file: what stands
// behind its last '\n' then is torn.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "common/outcome.h"
#include "common/result.h"
#include "common/spool_reader.h"
#include "common/utc.h"

namespace postern {

class SpoolTail {
 public:
  // `directory`: of the day files.
  SpoolTail(std::string directory, Day first);

  // nullopt: for now there is no more, or reading failed (status()).
  std::optional<Outcome> Next();

  // Lines that Next() passed because they are none.
  uint64_t skipped() const;
  const Status& status() const { return status_; }

 private:
  // A file whatever its name.
  struct Identity {
    dev_t device = 0;
    ino_t number = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  static std::optional<Identity> Identify(const std::string& path);

  // Opens the first day from day_ on. False: there is none for now.
  bool Open();
  // Goes on to the file that stands in its place, or to a later day's.
  void Close();
  // Whether another file stands in its place.
  bool IsReplaced() const;
  std::optional<Day> FirstDayFrom(Day day);

  std::string directory_;
  Day day_;  // of reader_, else where to go on
  std::optional<SpoolReader> reader_;
  std::optional<Identity> identity_;  // of reader_'s file
  bool is_over_ = false;  // nobody writes to reader_'s file any more
  uint64_t skipped_ = 0;  // before reader_
  Status status_ = Done{};
};

}  // namespace postern
