// The mail that carries a report (RFC 8460 section 5.3): for people a text, for
// programs the report, compressed.
//
//   From: "Example Mail" <tls@example.org>
//   To: reports@example.com
//   Date: Mon, 23 Nov 2026 01:17:05 +0000
//   Subject: Report Domain: example.com
//    Submitter: example.org
//    Report-ID: <5f0c...@example.org>
//   Message-ID: <5f0c...04be...@example.org>
//   ...
//   TLS-Required: No
//   TLS-Report-Domain: example.com
//   TLS-Report-Submitter: example.org
//   MIME-Version: 1.0
//   Content-Type: multipart/report; report-type="tlsrpt"; boundary="..."
//
// All of it is 7-bit, so that no server has to change it on its way, which
// would spoil the signature (dkim.h). Lines end in '\n', as sendmail(1) takes
// them, and none is longer than 998 bytes (RFC 5322 section 2.1.1). The same
// report to the same address is the same mail, but for its date.
//
// Pure.
#pragma once

#include <string>

#include "report-sender/report_id.h"

namespace postern {

struct ReportMail {
  std::string domain;  // that the report is about
  Day day;
  std::string sender;     // an address
  std::string recipient;  // an address, as in MailAddress (tlsrpt_record.h)
  WallTime date;
  std::string text;  // ReportText()
  std::string gzip;  // of ReportJson()
  // Without < and >; "": the report-id.
  std::string message_id = "";
};

std::string FormatReportMail(const ReportMail& mail,
                             const Submitter& submitter);

}  // namespace postern
