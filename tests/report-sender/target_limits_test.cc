#include "report-sender/target_limits.h"

#include <functional>

#include <gtest/gtest.h>

#include "tests/report-sender/queue_folder.h"

namespace postern {
namespace {

using Text = std::function<std::string(const std::string& number)>;

// Of 20 reports, how many may go; the limit is 5.
int Taken(const Text& domain, const Text& target) {
  TargetLimits limits(5);
  int taken = 0;
  for (int i = 0; i < 20; ++i) {
    const std::string number = std::to_string(i);
    taken += limits.Take(domain(number), DestinationOf(target(number)));
  }
  return taken;
}

Text Always(const std::string& text) {
  return [text](const std::string&) { return text; };
}

TEST(TargetLimits, NoTargetIsFlooded) {
  const Text subdomains = [](const std::string& n) {
    return "a" + n + ".evil.example";
  };
  const Text domains = [](const std::string& n) {
    return "evil" + n + ".example";
  };
  struct {
    const char* what;
    Text domain, target;
    int taken;
  } const table[] = {
      {"one address", domains, Always("mailto:a@victim.example"), 5},
      {"one address in any case", domains,
       [](const std::string& n) {
         return n.size() > 1 ? "mailto:A@victim.example"
                             : "mailto:a@victim.example";
       },
       5},
      {"one host, any path", domains,
       [](const std::string& n) { return "https://victim.example/" + n; }, 5},
      {"an owner's names, any address of another", subdomains,
       [](const std::string& n) { return "mailto:a" + n + "@victim.example"; },
       5},
      {"an owner's names, any subdomain of another", subdomains,
       [](const std::string& n) {
         return "mailto:a@m" + n + ".victim.example";
       },
       5},
      {"many owners, a service with an address for each", domains,
       [](const std::string& n) { return "mailto:c" + n + "@service.example"; },
       20},
      {"an owner's names, to itself", subdomains,
       Always("mailto:tls@evil.example"), 20},
      {"owners below one public suffix",
       [](const std::string& n) { return "a" + n + ".co.uk"; },
       [](const std::string& n) { return "mailto:a" + n + "@victim.co.uk"; },
       20},
  };
  for (const auto& row : table)
    EXPECT_EQ(Taken(row.domain, row.target), row.taken) << row.what;
}

}  // namespace
}  // namespace postern
