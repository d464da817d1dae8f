#include "report-sender/bounce_message.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

// As Postfix writes one.
constexpr char kMail[] =
    "Return-Path: <>\n"
    "From: MAILER-DAEMON (Mail Delivery System)\n"
    "Content-Type: multipart/report; report-type=delivery-status;\n"
    "\tboundary=\"AA1.17/mx1.example.org\"\n"
    "\n"
    "--AA1.17/mx1.example.org\n"
    "Content-Type: text/plain\n"
    "\n"
    "I'm sorry\n"
    "\n"
    "--AA1.17/mx1.example.org\n"
    "Content-Description: Delivery report\n"
    "Content-Type: message/delivery-status\n"
    "\n"
    "Reporting-MTA: dns; mx1.example.org\n"
    "\n"
    "Final-Recipient: rfc822; tls@example.com\n"
    "Original-Recipient: rfc822;reports@example.com\n"
    "Action: failed\n"
    "Status: 5.1.1\n"
    "Diagnostic-Code: smtp; 550 no such user\n"
    "\n"
    "--AA1.17/mx1.example.org\n"
    "Content-Type: text/rfc822-headers\n"
    "\n"
    "From: tls@example.org\n"
    "Subject: Report Domain: example.com\n"
    " Submitter: example.org\n"
    "Message-ID: <5f0c@example.org>\n"
    "\n"
    "--AA1.17/mx1.example.org--\n";

std::string Replaced(const std::string& from, const std::string& to) {
  std::string mail = kMail;
  for (size_t at = 0; (at = mail.find(from, at)) != mail.npos; at += to.size())
    mail.replace(at, from.size(), to);
  return mail;
}

// "ID RECIPIENT ORIGINAL STATUS ..." or the error.
std::string Parsed(const std::string& mail) {
  const auto bounce = ParseBounce(mail);
  if (!bounce) return bounce.error().message;
  std::string text = bounce->message_id;
  for (const auto& [recipient, original, status] : bounce->failures)
    text.append(" ").append(recipient).append(" ").append(original).append(
        " " + status);
  return text;
}

constexpr char kWhole[] =
    "5f0c@example.org tls@example.com "
    "reports@example.com 5.1.1";

TEST(BounceMessage, SaysWhichMailCameBack) {
  EXPECT_EQ(Parsed(kMail), kWhole);
  EXPECT_EQ(Parsed(Replaced("\n", "\r\n")), kWhole);
  EXPECT_EQ(Parsed("From MAILER-DAEMON Mon Nov 23 00:00:00 2026\n" +
                   std::string(kMail)),
            kWhole);
  EXPECT_EQ(Parsed(Replaced("text/rfc822-headers", "message/rfc822")), kWhole);
  EXPECT_EQ(Parsed(Replaced("\"AA1.17/mx1.example.org\"",
                            "AA1.17/mx1.example.org; x=y")),
            kWhole);
  EXPECT_EQ(
      Parsed(Replaced("rfc822; tls@example.com", "RFC822;<tls@example.com>")),
      kWhole);
  EXPECT_EQ(Parsed(Replaced("Status: 5.1.1", "STATUS: 5.1.1 (no such user)")),
            kWhole);
}

TEST(BounceMessage, WhatDoesNotCount) {
  const std::string no_failure = "it tells of no permanent failure";
  const std::pair<std::string, std::string> table[] = {
      {"", "it is no delivery status notification"},
      {"Hello\n\nthere", "it is no delivery status notification"},
      {Replaced("multipart/report", "multipart/mixed"),
       "it is no delivery status notification"},
      {Replaced("boundary=", "bound="), "it has no boundary"},
      {Replaced("Action: failed", "Action: delayed"), no_failure},
      {Replaced("Action: failed", "Action: delivered"), no_failure},
      {Replaced("Status: 5.1.1", "Status: 4.4.1"), no_failure},
      {Replaced("Status: 5.1.1", "Status: 55"), no_failure},
      {Replaced("Message-ID: <5f0c@example.org>", "Message-ID: 5f0c"),
       "it does not say which mail came back"},
      {Replaced("text/rfc822-headers", "image/png"),
       "it does not say which mail came back"},
  };
  for (const auto& [mail, why] : table) EXPECT_EQ(Parsed(mail), why) << mail;
}

TEST(BounceMessage, AnyBytesAreTaken) {
  const std::string mail = kMail;
  for (size_t size = 0; size <= mail.size(); ++size)
    Parsed(mail.substr(0, size));
  for (size_t at = 0; at < mail.size(); ++at)
    for (const char c : {'\0', '\n', ':', ';', '"', '\xff'}) {
      std::string other = mail;
      other[at] = c;
      Parsed(other);
    }
}

TEST(BounceMessage, NothingInItIsWithoutBounds) {
  std::string groups;
  for (int i = 0; i < 10000; ++i)
    groups +=
        "Final-Recipient: rfc822; a@example.com\nAction: failed\n"
        "Status: 5.0.0\n\n";
  const auto many =
      ParseBounce(Replaced("Final-Recipient", groups + "Final-Recipient"));
  ASSERT_TRUE(many);
  EXPECT_EQ(many->failures.size(), 100u);
  EXPECT_EQ(
      Parsed(Replaced("Status: 5.1.1", "Status: 5" + std::string(100000, '.'))),
      "it tells of no permanent failure");
}

}  // namespace
}  // namespace postern
