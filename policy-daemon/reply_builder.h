// From facts and decision to the replies: chooses among the texts of
// postfix_reply, and words the reason behind a TEMP.
#pragma once

#include <string>

#include "common/options.h"

#include "policy-daemon/answer_table.h"
#include "policy-daemon/decision.h"
#include "policy-daemon/facts.h"

namespace postern {

struct ReplySettings {
  bool testing_reply_may = false;
  SiteLevel site_level = SiteLevel::kMay;
  bool with_policy = false;  // Replies::policy is wanted

  friend bool operator==(const ReplySettings&, const ReplySettings&) = default;
};

// True where `dane`, which leaves hosts without TLSA at `may`, does not lower
// the administrator's floor.
bool DaneIsEnough(SiteLevel site);

Replies BuildReplies(const Facts& facts, const Decision& decision,
                     const ReplySettings& settings);

// The same TEMP in both dialects.
Replies TempReplies(std::string_view reason, ReplyKind kind);

// Why the answer is TEMP, for the admin who reads Postfix's log.
std::string TempReason(const Facts& facts, const Decision& decision);

}  // namespace postern
