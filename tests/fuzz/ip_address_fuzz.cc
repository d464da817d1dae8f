// Addresses, prefixes and listen addresses as text.
#include "common/ip_address.h"
#include "common/listen_address.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view text = AsText(data, size);
  if (const auto address = IpAddress::Parse(text)) {
    Require(IpAddress::Parse(address->ToString()) == address,
            "its spelling parses to itself");
    Require(!address->IsLoopback() || !IsGlobal(*address),
            "loopback is not global");
  }
  if (const auto prefix = IpPrefix::Parse(text))
    Require(prefix->Contains(prefix->address), "a prefix holds its address");
  if (const auto listen = ListenAddress::Parse(text)) {
    const auto again = ListenAddress::Parse(listen->ToString());
    Require(again && again->ToString() == listen->ToString(),
            "its spelling parses to itself");
  }
  return 0;
}
