#include "report-sender/gzip.h"

#include <new>

#include <zlib.h>

namespace postern {
namespace {

constexpr int kGzip = 16;  // added to the window's bits (zlib.h)
constexpr int kMemory = 9;

}  // namespace

std::string Gzip(std::string_view text) {
  z_stream stream{};
  // Nothing but memory can be missing.
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzip,
                   kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out(deflateBound(&stream, text.size()), '\0');
  // zlib does not write to it.
  stream.next_in =
      const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::bad_alloc();
  return out;
}

}  // namespace postern
