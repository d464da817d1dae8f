#include "report-sender/told_outside.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(AddressForReport, IsOneOfTheInternet) {
  const std::pair<const char*, const char*> table[] = {
      {"8.8.8.8", "8.8.8.8"},
      {"2A00:1450::0001", "2a00:1450::1"},
      {"192.0.2.25", "192.0.2.25"},  // documentation: nobody's
      {"2001:db8::25", "2001:db8::25"},
      {"10.1.2.3", ""},
      {"172.16.0.1", ""},
      {"192.168.1.1", ""},
      {"100.64.0.1", ""},
      {"127.0.0.1", ""},
      {"169.254.1.1", ""},
      {"::1", ""},
      {"fd00::1", ""},
      {"fe80::1", ""},
      {"::ffff:10.0.0.1", ""},
      {"[192.0.2.1]", ""},
      {"mx.example.com", ""},
      {"", ""},
  };
  for (const auto& [text, told] : table)
    EXPECT_EQ(AddressForReport(text), told) << text;
}

TEST(ReasonForReport, TellsNothingFromInside) {
  const std::pair<const char*, const char*> table[] = {
      {"", ""},
      {"no answer from the DNS resolver 10.0.0.53",
       "no answer from the DNS resolver (an address of ours)"},
      {"no answer from the DNS resolver 10.0.0.53:5353: timeout",
       "no answer from the DNS resolver (an address of ours):5353: timeout"},
      {"no answer from the DNS resolver [fd00::53]:53",
       "no answer from the DNS resolver [(an address of ours)]:53"},
      // Also where it is a public one: whom we ask is ours alone.
      {"DNS Resolver 8.8.8.8", "DNS Resolver (an address of ours)"},
      {"192.168.1.1: connection refused",
       "(an address of ours): connection refused"},
      {"mail from=10.0.0.1;to=[10.0.0.2]#25.",
       "mail from=(an address of ours);to=[(an address of ours)]#25."},
      {"at ::1", "at (an address of ours)"},
      {"cannot read /etc/postfix/ca/x.pem: gone", "cannot read (a file): gone"},
  };
  for (const auto& [text, told] : table)
    EXPECT_EQ(ReasonForReport(text), told) << text;
}

TEST(ReasonForReport, LeavesWhatIsTheDomainsOwn) {
  for (const char* text :
       {"8.8.8.8: the certificate has expired", "198.51.100.7: refused",
        "mx-host-mismatch", "code-17", "mx.example.com answered 404",
        "line 3: 'mx: 1.2.3'", "https://mta-sts.example.com/.well-known/x",
        "TLS 1.0.2.3.4.5 offered", "v10.0.0.1.example", "STARTTLS/ESMTP",
        "\xc3\xa4 \xe2\x82\xac"})
    EXPECT_EQ(ReasonForReport(text), text);
}

}  // namespace
}  // namespace postern
