#include "report-sender/report_mail.h"

#include <algorithm>
#include <array>

#include "common/clean_text.h"
#include "common/text.h"

#include "report-sender/base64.h"

namespace postern {
namespace {

constexpr size_t kMaxDisplayName = 200;  // bytes
constexpr size_t kBase64Line = 76;       // RFC 2045 section 6.8
// RFC 2047 section 2: a line that an encoded word stands on has 76 characters
// at most. "From: " or " " stand before it, 12 around the base64 of 42 bytes.
constexpr size_t kEncodedWordBytes = 42;

// RFC 5322 section 3.3.
std::string MailDate(WallTime time) {
  static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed",
                                       "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
  const Day day = DayOf(time);
  const std::string utc = FormatUtc(time);  // 2026-11-22T13:05:07Z
  const unsigned month =
      static_cast<unsigned>(std::chrono::year_month_day(day).month());
  return std::string(kDays[std::chrono::weekday(day).c_encoding()]) + ", " +
         utc.substr(8, 2) + " " + kMonths[month - 1] + " " + utc.substr(0, 4) +
         " " + utc.substr(11, 8) + " +0000";
}

// RFC 2047 section 5: encoded words, cut between characters, a line each.
std::string EncodedWords(std::string_view text) {
  std::string words;
  while (!text.empty()) {
    std::string_view rest = text;
    std::string_view word;
    while (!rest.empty()) {
      TakeUtf8(rest);
      const size_t size = text.size() - rest.size();
      if (size > kEncodedWordBytes) break;
      word = text.substr(0, size);
    }
    words +=
        (words.empty() ? "=?UTF-8?B?" : "\n =?UTF-8?B?") + Base64(word) + "?=";
    text.remove_prefix(word.size());
  }
  return words;
}

// RFC 5322 section 3.4: a display name of any text, and what parts it from the
// address.
std::string DisplayName(std::string_view name) {
  const std::string clean = CleanText(name, kMaxDisplayName);
  const bool ascii = std::all_of(clean.begin(), clean.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x80;
  });
  if (!ascii) return EncodedWords(clean) + "\n ";
  std::string quoted = "\"";
  for (char c : clean) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\" ";
}

std::string InLines(std::string_view base64) {
  std::string lines;
  for (; !base64.empty();
       base64.remove_prefix(std::min(kBase64Line, base64.size())))
    lines.append(base64.substr(0, kBase64Line)).push_back('\n');
  return lines;
}

}  // namespace

std::string FormatReportMail(const ReportMail& mail,
                             const Submitter& submitter) {
  const std::string id = ReportId(mail.day, mail.domain, submitter);
  // In no base64, and at the start of no line of text.
  const std::string boundary = "=_" + id.substr(0, id.find('@'));
  const std::string part = "\n--" + boundary;
  return "From: " + DisplayName(submitter.organization_name) + "<" +
         mail.sender + ">\nTo: " + mail.recipient +
         "\nDate: " + MailDate(mail.date) +
         // RFC 8460 section 5.3.
         "\nSubject: Report Domain: " + mail.domain +
         "\n Submitter: " + submitter.domain + "\n Report-ID: <" + id + ">" +
         "\nMessage-ID: <" + (mail.message_id.empty() ? id : mail.message_id) +
         ">" +
         // RFC 3834 section 5: no answer by a machine, please.
         "\nAuto-Submitted: auto-generated"
         // RFC 8689: to be delivered although TLS fails (RFC 8460 section 3).
         "\nTLS-Required: No"
         "\nTLS-Report-Domain: " +
         mail.domain + "\nTLS-Report-Submitter: " + submitter.domain +
         "\nMIME-Version: 1.0"
         "\nContent-Type: multipart/report; report-type=\"tlsrpt\";\n "
         "boundary=\"" +
         boundary + "\"\n" + part +
         "\nContent-Type: text/plain; charset=us-ascii"
         "\nContent-Transfer-Encoding: 7bit\n\n" +
         mail.text + part +
         "\nContent-Type: application/tlsrpt+gzip"
         "\nContent-Transfer-Encoding: base64"
         "\nContent-Disposition: attachment;\n filename=\"" +
         ReportFileName(mail.day, mail.domain, submitter) + "\"\n\n" +
         InLines(Base64(mail.gzip)) + part + "--\n";
}

}  // namespace postern
