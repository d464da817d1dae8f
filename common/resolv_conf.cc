#include "common/resolv_conf.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/file_descriptor.h"
#include "common/text.h"

namespace postern {
namespace {

constexpr size_t kMaxServers = 3;
constexpr size_t kMaxBytes = 65536;
constexpr uint16_t kDnsPort = 53;

std::string ReadStart(const std::string& path) {
  const FileDescriptor file(
      open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return "";
  std::string text(kMaxBytes, '\0');
  const ssize_t size = read(file.get(), text.data(), text.size());
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

}  // namespace

std::vector<AddressAndPort> ReadResolvConf(const std::string& path) {
  std::vector<AddressAndPort> servers;
  const std::string text = ReadStart(path);
  for (const auto line : SplitList(text, "\n")) {
    const auto words = SplitList(line, " \t\r");
    if (words.size() < 2 || words[0] != "nameserver") continue;
    const auto address = IpAddress::Parse(words[1]);
    if (address && servers.size() < kMaxServers)
      servers.push_back({*address, kDnsPort});
  }
  return servers;
}

Result<std::vector<AddressAndPort>> DnsServersOf(
    const Options::Dns& options, const std::string& resolv_conf) {
  if (!options.servers.empty()) return options.servers;
  auto servers = ReadResolvConf(resolv_conf);
  if (servers.empty())
    return Error{"no DNS server: " + resolv_conf +
                 " names none; install a validating resolver such as unbound "
                 "and set dns.server = 127.0.0.1"};
  return servers;
}

}  // namespace postern
