// A disk that takes no more.
#pragma once

#include <cstdint>

namespace postern {

// While it lives, no file can grow beyond `bytes`: a full disk.
class FullDisk {
 public:
  explicit FullDisk(uint64_t bytes = 0);
  ~FullDisk();
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  uint64_t before_;
};

}  // namespace postern
