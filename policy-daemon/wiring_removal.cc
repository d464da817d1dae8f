#include "policy-daemon/wiring_removal.h"

#include <algorithm>
#include <utility>

#include "policy-daemon/our_entries.h"
#include "policy-daemon/setting_list.h"

namespace postern {
namespace {

constexpr char kPolicyMaps[] = "smtp_tls_policy_maps";
constexpr char kLmtpPolicyMaps[] = "lmtp_tls_policy_maps";
constexpr char kLevel[] = "smtp_tls_security_level";
constexpr char kMilters[] = "smtpd_milters";
constexpr char kOtherMilters[] = "non_smtpd_milters";
constexpr char kMilterAction[] = "milter_default_action";
constexpr char kTransportMaps[] = "sender_dependent_default_transport_maps";
constexpr char kReuse[] = "smtp_tls_connection_reuse";
constexpr char kTlsproxy[] = "tlsproxy/unix";
constexpr char kTlsrptSocket[] = "smtp_tlsrpt_socket_name";
constexpr char kTlsrptEnable[] = "smtp_tlsrpt_enable";

std::vector<std::string> EntriesIn(const std::optional<WiringRecord>& record) {
  return record ? record->Entries() : std::vector<std::string>();
}

Change Setting(Change::File file, const std::string& name) {
  Change change;
  change.file = file;
  change.name = name;
  return change;
}

// Mail is refused while nobody answers, unless the entry (as that of setup
// does) or `default_action` (milter_default_action) says otherwise.
bool NeedsOurMilter(std::string_view milters, const std::string& default_action,
                    const OurEntries& ours) {
  return HasEntry(milters, [&](std::string_view entry) {
    if (!ours.MayBeOurMilter(entry)) return false;
    if (entry.find("default_action=") == entry.npos)
      return default_action != "accept";
    return entry.find("default_action=accept") == entry.npos;
  });
}

std::vector<std::string> PlacesThatAsk(const PostfixSettings& postfix,
                                       const OurEntries& ours) {
  std::vector<std::string> places;
  for (const char* name : {kPolicyMaps, kLmtpPolicyMaps})
    if (ours.AsksUs(postfix.Effective(name)))
      places.push_back(std::string(name) +
                       " still asks postern-policy; take it out, also where "
                       "another parameter names it, or all mail waits");
  const std::string action = postfix.Effective(kMilterAction);
  for (const char* name : {kMilters, kOtherMilters})
    if (NeedsOurMilter(postfix.Effective(name), action, ours))
      places.push_back(std::string(name) +
                       " still names postern-policy; take it out, also where "
                       "another parameter names it, or mail is refused");
  for (const PostfixService& service : postfix.services) {
    const auto own = service.overrides.find(kMilterAction);
    const std::string& its_action =
        own == service.overrides.end() ? action : own->second;
    for (const auto& [name, value] : service.overrides) {
      const bool is_milters = name == kMilters || name == kOtherMilters;
      if (is_milters ? NeedsOurMilter(value, its_action, ours)
                     : ours.AsksUs(value))
        places.push_back("master.cf: " + service.name +
                         " still asks postern-policy by a " + name +
                         " of its own; take it out, or its mail waits");
    }
  }
  return places;
}

class Remover {
 public:
  Remover(const PostfixSettings& postfix, const Options& options,
          const std::optional<WiringRecord>& record, const AskEntry& ask)
      : postfix_(postfix),
        after_(postfix),
        record_(record),
        ask_(ask),
        ours_(options, postfix, EntriesIn(record)) {}

  RemovalPlan Plan() && {
    // What else is needed depends on these.
    for (const char* name : {kPolicyMaps, kMilters, kTransportMaps})
      TakeOutOf(name);
    if (record_)
      for (const Change& made : record_->changes)
        if (!IsList(made.name)) Undo(made);
    TakeOutTheRest();
    plan_.warnings = PlacesThatAsk(after_, ours_);
    if (!record_ && !plan_.changes.empty())
      plan_.left.push_back(
          "there is no record of an earlier setup: settings that are not ours "
          "alone (smtp_tls_security_level, smtp_dns_support_level, "
          "smtp_tls_CAfile, smtp_tls_loglevel, ...) stay as they are");
    return std::move(plan_);
  }

 private:
  static bool IsList(const std::string& name) {
    return name == kPolicyMaps || name == kMilters || name == kTransportMaps;
  }

  std::optional<std::string> Present(const Change& change) const {
    if (change.file == Change::File::kMainCf)
      return postfix_.Explicit(change.name);
    const PostfixService* service = postfix_.Service(change.name);
    return service ? std::optional(service->line) : std::nullopt;
  }

  bool IsPlanned(const std::string& name) const {
    for (const Change& change : plan_.changes)
      if (change.name == name) return true;
    return false;
  }

  // Our entries in a setting that is a list.
  IsEntry OursIn(std::string_view name) const {
    return [this, name = std::string(name)](std::string_view one) {
      return (name == kPolicyMaps && ours_.IsOurMap(one)) ||
             (name == kMilters && ours_.IsOurMilter(one)) ||
             (name == kTransportMaps && ours_.IsOurTransportMap(one));
    };
  }

  void Set(const Change& like, std::optional<std::string> value,
           std::string why) {
    plan_.changes.push_back({like.file, like.name, Present(like),
                             std::move(value), "", std::move(why)});
  }

  void Leave(std::string what) { plan_.left.push_back(std::move(what)); }

  void TakeOutOf(const char* name) {
    Change list = Setting(Change::File::kMainCf, name);
    const Change* made = record_ ? record_->Find(list) : nullptr;
    const auto present = postfix_.Explicit(name);
    const IsEntry is_ours = OursIn(name);
    if (!present || !HasEntry(*present, is_ours)) return;
    std::optional<std::string> value;
    std::string why = "without our entry";
    if (made && made->after == present) {
      value = made->before;
      if (value) value = WithoutDead(*value, *present, is_ours);
      if (value == made->before) why = "as it was before";
    } else {
      value = Without(*present, is_ours);
    }
    const bool was_empty =
        made && made->before && EntriesOf(*made->before).empty();
    if (value && EntriesOf(*value).empty() && !was_empty) value.reset();
    // In effect, and with the $names of main.cf replaced; but those that come
    // back.
    std::string rest = Without(postfix_.Effective(name), is_ours);
    const std::string back = value.value_or("");
    for (std::string_view entry : EntriesOf(back))
      if (!HasEntry(*present, [&](auto one) { return one == entry; }))
        rest = Appended(rest, entry);
    after_.effective[name] = rest;
    Set(list, std::move(value), std::move(why));
  }

  // Of a list as it was before: what was replaced since then comes back only if
  // it is not ours, and answers.
  std::string WithoutDead(const std::string& before, const std::string& present,
                          const IsEntry& is_ours) {
    return Without(before, [&](std::string_view entry) {
      if (is_ours(entry)) return true;
      const bool stayed =
          HasEntry(present, [&](auto one) { return one == entry; });
      if (stayed || !Socketmap::Parse(entry)) return false;
      const std::string name(entry);
      const Status answered = ask_(name);
      if (!answered)
        Leave(name + " does not come back: " + answered.error().message);
      return !answered;
    });
  }

  void Undo(const Change& made) {
    const auto present = Present(made);
    if (present == made.before || !present) return;
    const bool is_our_socket =
        made.name == kTlsrptSocket && ours_.IsOurTlsrptSocket(*present);
    if (present != made.after && !is_our_socket) {
      Leave(made.name + " was changed since, and stays: " + *present);
      return;
    }
    const std::string name = made.file == Change::File::kMainCf
                                 ? made.name + " = " + *present
                                 : made.name;
    if (made.name == kLevel &&
        (!made.before || *made.before == "" || *made.before == "none")) {
      Leave(name + " stays: without it mail goes out in clear text");
    } else if (const std::string user = WhatNeeds(made.name); !user.empty()) {
      Leave(name + " stays: " + user + " needs it");
    } else {
      Set(made, made.before, "as it was before");
    }
  }

  // "": nothing.
  std::string WhatNeeds(const std::string& name) const {
    if (name == "smtp_dns_support_level")
      return WhatDemands({"dane", "dane-only"});
    if (name == "smtp_tls_CAfile")
      return WhatDemands({"dane", "dane-only", "verify", "secure"});
    if (name == kTlsproxy)
      return Where(kReuse, [](const auto& value) { return value == "yes"; });
    if (name == kReportService)
      return Where(kTransportMaps, [](const auto& value) {
        return value.find(kReportTransport) != value.npos;
      });
    return "";
  }

  // One of those levels, or a table that may answer it.
  std::string WhatDemands(const std::vector<std::string>& levels) const {
    const std::string level = Where(kLevel, [&](const auto& value) {
      return std::find(levels.begin(), levels.end(), value) != levels.end();
    });
    if (!level.empty()) return level;
    return Where(kPolicyMaps, [this](const auto& value) {
      return !EntriesOf(Without(value, OursIn(kPolicyMaps))).empty();
    });
  }

  // The setting if its value is so, in main.cf or for one service.
  std::string Where(
      const std::string& name,
      const std::function<bool(const std::string& value)>& is_so) const {
    const std::string value = after_.Effective(name);
    if (is_so(value)) return name + " = " + value;
    for (const PostfixService& service : after_.services)
      if (const auto found = service.overrides.find(name);
          found != service.overrides.end() && is_so(found->second))
        return service.name + " with " + name + " = " + found->second;
    return "";
  }

  void TakeOutTheRest() {
    const auto named = postfix_.Explicit(kTlsrptSocket);
    if (!IsPlanned(kTlsrptSocket) && named && ours_.IsOurTlsrptSocket(*named)) {
      Set(Setting(Change::File::kMainCf, kTlsrptSocket), std::nullopt,
          "nobody listens there any more");
      if (!IsPlanned(kTlsrptEnable) && postfix_.Explicit(kTlsrptEnable))
        Set(Setting(Change::File::kMainCf, kTlsrptEnable), std::nullopt,
            "as there is nobody to tell");
    }
    const Change reports = Setting(Change::File::kMasterCf, kReportService);
    if (!Present(reports) || (record_ && record_->Find(reports))) return;
    if (const std::string user = WhatNeeds(kReportService); !user.empty())
      Leave(std::string(kReportService) + " stays: " + user + " needs it");
    else
      Set(reports, std::nullopt, "no mail goes out by it any more");
  }

  const PostfixSettings& postfix_;
  PostfixSettings after_;  // in effect once the lists are as planned
  const std::optional<WiringRecord>& record_;
  const AskEntry& ask_;
  const OurEntries ours_;
  RemovalPlan plan_;
};

}  // namespace

RemovalPlan PlanRemoval(const PostfixSettings& postfix, const Options& options,
                        const std::optional<WiringRecord>& record,
                        const AskEntry& ask) {
  return Remover(postfix, options, record, ask).Plan();
}

std::vector<std::string> WhatAsksUs(const PostfixSettings& postfix,
                                    const Options& options,
                                    const std::optional<WiringRecord>& record) {
  return PlacesThatAsk(postfix,
                       OurEntries(options, postfix, EntriesIn(record)));
}

}  // namespace postern
