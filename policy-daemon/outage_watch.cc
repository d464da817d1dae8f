#include "policy-daemon/outage_watch.h"

#include <utility>

#include "common/log.h"

namespace postern {

OutageWatch::OutageWatch(Clock& clock, OutcomeSink& sink, Metrics& metrics)
    : clock_(clock),
      sink_(sink),
      gauge_(metrics.Gauge("postern_sts_outage",
                           "1 while no policy host can be reached at all, "
                           "which is trouble of ours")),
      ours_(metrics.Counter(
          "postern_findings_ours_total",
          "Findings that were not reported, as the trouble is our own")) {}

void OutageWatch::NoteReached() {
  unreached_.clear();
  if (std::exchange(outage_, false)) {
    gauge_.Set(0);
    Log(LogLevel::kInfo, "sts_outage_over",
        {{"effect", "policy files can be fetched again"}});
  }
  Release(SteadyTime::max());
}

void OutageWatch::NoteUnreached(const std::string& parent, bool news) {
  if (outage_ || !news) return;
  const SteadyTime now = clock_.Now();
  std::erase_if(unreached_,
                [now](const auto& one) { return one.second + kWindow <= now; });
  unreached_[parent] = now;
  if (unreached_.size() < kDomains) return;
  unreached_.clear();
  outage_ = true;
  gauge_.Set(1);
  ours_.Increment(static_cast<double>(held_.size()));
  held_.clear();
  held_bytes_ = 0;
  Log(LogLevel::kWarn, "sts_outage",
      {{"reason", "no policy host can be reached by HTTPS"},
       {"effect",
        "domains that are not remembered count as without MTA-STS; their "
        "owners are not told"},
       {"advice",
        "look at this machine's routes and firewall (TCP port 443, "
        "outgoing); where HTTPS goes out by a proxy only, set sts.proxy"}});
}

void OutageWatch::Record(Finding finding) {
  if (!finding.unreached) return sink_.Record(std::move(finding));
  if (outage_) return ours_.Increment();
  held_bytes_ += MemoryOf(finding.outcome);
  held_.push_back({clock_.Now() + kWindow, std::move(finding)});
  while (held_bytes_ > kMaxHeldBytes) ReleaseOldest();
  SetTimer();
}

void OutageWatch::Release(SteadyTime until) {
  while (!held_.empty() && held_.front().until <= until) ReleaseOldest();
}

void OutageWatch::ReleaseOldest() {
  Finding finding = std::move(held_.front().finding);
  held_.pop_front();
  held_bytes_ -= MemoryOf(finding.outcome);
  sink_.Record(std::move(finding));
}

void OutageWatch::SetTimer() {
  if (held_.empty()) return timer_.reset();
  timer_ = clock_.CallAt(held_.front().until, [this] {
    Release(clock_.Now());
    SetTimer();
  });
}

}  // namespace postern
