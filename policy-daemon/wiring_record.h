// WiringRecord: what `postern-policy setup` has changed, and what was there
// before; postern-setup.json in Postfix's own configuration directory.
//
// Written before anything is changed: a setup that was killed can be undone
// whatever it had come to. Root acts by it, so it is believed only where nobody
// else can have written it.
//
//   {"version":1,"changes":[{"file":"main.cf","name":"smtp_tls_loglevel",
//     "before":null,"after":"1","entry":""}],
//    "earlier":["socketmap:unix:old/policy.sock:policy"]}
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

#include "policy-daemon/wiring.h"

namespace postern {

struct WiringRecord {
  std::vector<Change> changes;  // without their `why`
  // Entries of before those: a setup that was killed, or failed, may have left
  // them there.
  std::vector<std::string> earlier;

  // Our entries, of all times.
  std::vector<std::string> Entries() const;
  const Change* Find(const Change& like) const;

  std::string ToJson() const;
  // Only settings that setup changes, and values of one line.
  static Result<WiringRecord> Parse(std::string json);
};

// The record once `changes` are made, too. What was there before the first
// setup stays what is gone back to, unless the administrator has changed it
// since: then it is what he wrote, but for our entry.
WiringRecord Merged(std::optional<WiringRecord> record,
                    const std::vector<Change>& changes);

std::string WiringRecordPath(const PostfixSettings& postfix);

// nullopt: there is none. An Error, with what to do, where it cannot be
// believed.
Result<std::optional<WiringRecord>> ReadWiringRecord(const std::string& path);

// Durable when it returns.
Status WriteWiringRecord(const std::string& path, const WiringRecord& record);

}  // namespace postern
