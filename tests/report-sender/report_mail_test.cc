// The mail to the letter. tests/report-sender/check-report-mail reads those
// that dkim_test.cc signs, as a receiver does.
#include "report-sender/report_mail.h"

#include <gtest/gtest.h>

#include "report-sender/base64.h"
#include "report-sender/gzip.h"
#include "tests/report-sender/lines.h"

namespace postern {
namespace {

ReportMail SomeMail() {
  return {.domain = "example.com",
          .day = kDay,
          .sender = "tls@example.org",
          .recipient = "reports@example.com",
          .date = kNow + std::chrono::hours(12),
          .text = "All is well.\n",
          .gzip = "no gzip"};
}

TEST(ReportMail, IsToTheLetter) {
  std::string expected =
      "From: \"Example Mail\" <tls@example.org>\n"
      "To: reports@example.com\n"
      "Date: Mon, 23 Nov 2026 01:05:07 +0000\n"
      "Subject: Report Domain: example.com\n"
      " Submitter: example.org\n"
      " Report-ID: <HASH@example.org>\n"
      "Message-ID: <HASH@example.org>\n"
      "Auto-Submitted: auto-generated\n"
      "TLS-Required: No\n"
      "TLS-Report-Domain: example.com\n"
      "TLS-Report-Submitter: example.org\n"
      "MIME-Version: 1.0\n"
      "Content-Type: multipart/report; report-type=\"tlsrpt\";\n"
      " boundary=\"=_HASH\"\n"
      "\n"
      "--=_HASH\n"
      "Content-Type: text/plain; charset=us-ascii\n"
      "Content-Transfer-Encoding: 7bit\n"
      "\n"
      "All is well.\n"
      "\n"
      "--=_HASH\n"
      "Content-Type: application/tlsrpt+gzip\n"
      "Content-Transfer-Encoding: base64\n"
      "Content-Disposition: attachment;\n"
      " filename=\"example.org!example.com!1795305600!1795391999!"
      "mx1exampleorg.json.gz\"\n"
      "\n"
      "bm8gZ3ppcA==\n"
      "\n"
      "--=_HASH--\n";
  const std::string hash =
      ReportId(kDay, "example.com", ExampleOrg()).substr(0, 32);
  for (size_t at; (at = expected.find("HASH")) != expected.npos;)
    expected.replace(at, 4, hash);
  EXPECT_EQ(FormatReportMail(SomeMail(), ExampleOrg()), expected);
}

std::string FromField(const std::string& name) {
  Submitter submitter = ExampleOrg();
  submitter.organization_name = name;
  const std::string mail = FormatReportMail(SomeMail(), submitter);
  return mail.substr(0, mail.find(" <tls@"));
}

TEST(ReportMail, QuotesTheOrganizationsName) {
  EXPECT_EQ(FromField("Example Mail"), "From: \"Example Mail\"");
  EXPECT_EQ(FromField("\"A\\B\" <x@y>, Inc."),
            "From: \"\\\"A\\\\B\\\" <x@y>, Inc.\"");
  EXPECT_EQ(FromField(""), "From: \"\"");
}

TEST(ReportMail, EncodesANameOfAnyScript) {
  // RFC 2047.
  EXPECT_EQ(FromField("Gr\xc3\xbcn"), "From: =?UTF-8?B?R3LDvG4=?=\n");
  // Cut between two characters.
  std::string name;
  for (int i = 0; i < 25; ++i) name += "\xe2\x82\xac";
  EXPECT_EQ(FromField(name),
            "From: =?UTF-8?B?"
            "4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs?=\n"
            " =?UTF-8?B?4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs?=\n");
  EXPECT_EQ(FromField("a" + name).find("=?UTF-8?B?YeKCrOKCr"), 6u);
}

TEST(ReportMail, ANameCannotAddFields) {
  EXPECT_EQ(FromField("a\r\nBcc: b\x1b[2J"), "From: \"a  Bcc: b [2J\"");
  for (const char* name : {"\xff\xfe\n\nx", "\xc3\xbc\r\nBcc: b@example.com"})
    for (const char* part : {"\r", "\nBcc", "\n\n"})
      EXPECT_EQ(FromField(name).find(part), std::string::npos);
}

TEST(ReportMail, HasShortLinesOf7Bit) {
  ReportMail mail = SomeMail();
  Submitter submitter = ExampleOrg();
  const std::string longest = std::string(60, 'a') + "." +
                              std::string(63, 'b') + "." +
                              std::string(63, 'c') + "." + std::string(63, 'd');
  mail.domain = submitter.domain = longest;
  submitter.organization_name.clear();
  for (int i = 0; i < 1000; ++i)
    submitter.organization_name += "\xf0\x9f\x93\xa7";
  for (int i = 0; i < 10000; ++i) mail.gzip += static_cast<char>(i * 7919 >> 3);
  const std::string text = FormatReportMail(mail, submitter);
  size_t line = 0;
  for (const char c : text) {
    EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f));
    line = c == '\n' ? 0 : line + 1;
    ASSERT_LE(line, 998u);
  }
}

TEST(Base64, IsOfRfc4648) {
  const std::pair<const char*, const char*> examples[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
      {"\xff\xef\xbe", "/+++"}};
  for (const auto& [bytes, text] : examples) EXPECT_EQ(Base64(bytes), text);
}

TEST(Gzip, IsTheSameEachTime) {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += std::to_string(i * i % 1000);
  const std::string gzip = Gzip(text);
  EXPECT_LT(gzip.size(), text.size() / 2);
  // Deflated; no flags, no time.
  EXPECT_EQ(gzip.substr(0, 8), std::string("\x1f\x8b\x08\0\0\0\0\0", 8));
  EXPECT_EQ(Gzip(text), gzip);
  EXPECT_GT(Gzip("").size(), 17u);
}

}  // namespace
}  // namespace postern
