#include "policy-daemon/wiring_removal.h"

#include <utility>

#include "policy-daemon/our_entries.h"
#include "policy-daemon/setting_list.h"

namespace postern {
namespace {

constexpr char kPolicyMaps[] = "smtp_tls_policy_maps";
constexpr char kMilters[] = "smtpd_milters";
constexpr char kTransportMaps[] = "sender_dependent_default_transport_maps";

Change Setting(Change::File file, const std::string& name) {
  Change change;
  change.file = file;
  change.name = name;
  return change;
}

class Remover {
 public:
  Remover(const PostfixSettings& postfix, const Options& options,
          const std::optional<WiringRecord>& record)
      : postfix_(postfix),
        record_(record),
        ours_(options, postfix,
              record ? record->Entries() : std::vector<std::string>()) {}

  RemovalPlan Plan() && {
    if (record_)
      for (const Change& made : record_->changes) Undo(made);
    TakeOutOfLists();
    TakeOutTheRest();
    LookAtWhatAsks();
    if (!record_ && !plan_.changes.empty())
      plan_.left.push_back(
          "there is no record of an earlier setup: settings that are not ours "
          "alone (smtp_tls_security_level, smtp_dns_support_level, "
          "smtp_tls_CAfile, smtp_tls_loglevel, ...) stay as they are");
    return std::move(plan_);
  }

 private:
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

  // Our entries in a setting that is a list; else there are none.
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

  void Undo(const Change& made) {
    const auto present = Present(made);
    if (present == made.before) return;
    const IsEntry is_ours = OursIn(made.name);
    if (present == made.after) {
      // Of who had asked us by hand before, too: nobody will answer.
      const bool asks = made.before && HasEntry(*made.before, is_ours);
      if (asks)
        TakeOut(made, *made.before, is_ours, true);
      else
        Set(made, made.before, "as it was before");
      return;
    }
    if (!present) return;  // the administrator took it out
    if (made.entry.empty()) {
      plan_.left.push_back(made.name +
                           " was changed since, and stays: " + *present);
    } else if (HasEntry(*present, is_ours)) {
      TakeOut(made, *present, is_ours, !made.before);
    }
  }

  void TakeOut(const Change& like, const std::string& list,
               const IsEntry& is_ours, bool unset_if_empty) {
    const std::string rest = Without(list, is_ours);
    const bool unset = EntriesOf(rest).empty() && unset_if_empty;
    Set(like, unset ? std::nullopt : std::optional(rest), "without our entry");
  }

  void TakeOutOfLists() {
    for (const char* name : {kPolicyMaps, kMilters, kTransportMaps}) {
      const auto present = postfix_.Explicit(name);
      const IsEntry is_ours = OursIn(name);
      if (IsPlanned(name) || !present || !HasEntry(*present, is_ours)) continue;
      TakeOut(Setting(Change::File::kMainCf, name), *present, is_ours, true);
    }
  }

  void TakeOutTheRest() {
    const std::string socket = "smtp_tlsrpt_socket_name";
    const std::string enable = "smtp_tlsrpt_enable";
    const auto named = postfix_.Explicit(socket);
    if (!IsPlanned(socket) && named && ours_.IsOurTlsrptSocket(*named)) {
      Set(Setting(Change::File::kMainCf, socket), std::nullopt,
          "nobody listens there any more");
      if (!IsPlanned(enable) && postfix_.Explicit(enable))
        Set(Setting(Change::File::kMainCf, enable), std::nullopt,
            "as there is nobody to tell");
    }
    const PostfixService* reports = postfix_.Service(kReportService);
    if (reports && !IsPlanned(kReportService))
      Set(Setting(Change::File::kMasterCf, kReportService), std::nullopt,
          "no mail goes out by it any more");
  }

  // All mail would wait for an answer.
  void LookAtWhatAsks() {
    const auto asks = [is_ours = OursIn(kPolicyMaps)](const std::string& maps) {
      return HasEntry(maps, is_ours);
    };
    for (const PostfixService& service : postfix_.services) {
      const auto maps = service.overrides.find("smtp_tls_policy_maps");
      if (maps != service.overrides.end() && asks(maps->second))
        plan_.warnings.push_back("master.cf: " + service.name +
                                 " still asks postern-policy by a "
                                 "smtp_tls_policy_maps of its own; take it "
                                 "out, or its mail waits");
    }
    if (!IsPlanned(kPolicyMaps) && asks(postfix_.Effective(kPolicyMaps)))
      plan_.warnings.push_back(
          std::string(kPolicyMaps) +
          " still asks postern-policy by way of another parameter; "
          "take it out there, or all mail waits");
  }

  const PostfixSettings& postfix_;
  const std::optional<WiringRecord>& record_;
  const OurEntries ours_;
  RemovalPlan plan_;
};

}  // namespace

RemovalPlan PlanRemoval(const PostfixSettings& postfix, const Options& options,
                        const std::optional<WiringRecord>& record) {
  return Remover(postfix, options, record).Plan();
}

}  // namespace postern
