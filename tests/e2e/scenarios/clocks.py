"""A wall clock that is wrong for a while costs nothing that is kept."""

import datetime
import json
import time

from cases import NONE, secure
from checks import STS, equal
from daemon import ask
from reporting import A, FINE, HTTPS, HttpsHosts, Reporter, publish
from sender import TLSRPT_SOCKET
from tlsrpt import outcome
from wallclock import WallClock

STEPS = {"ahead": 400, "behind": -400}  # days
# How long a clock stays wrong: for a daemon that does nothing about it there
# is nothing to wait for. A look each second finds what is due.
WRONG_FOR = 3  # seconds
NOBODY = "127.0.0.9"  # no resolver
QUIET = "sts-wildcard.test"  # nobody asks for it while the clock is wrong
NEW = "sts-two.test"  # nobody asked for it before
POLICIES = {STS: secure("mx." + STS), QUIET: secure("." + QUIET)}
NEW_POLICY = secure("mx1." + NEW, "mx2." + NEW)
# By it no certificate is valid, so nothing is fetched. Ahead, what is remembered
# has expired; behind, it is dated in the future and holds.
BY_WRONG_CLOCK = {"ahead": NONE, "behind": POLICIES[STS]}
SPOOLED = (1, 2, 8)  # days ago; ten are kept


def ago(days):
    """A UTC day, as in the spool's file names."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (today - datetime.timedelta(days=days)).isoformat()


class Clocked:
    """A daemon with a wall clock of its own, and days in its spool."""

    def __init__(self, bench, name):
        self.daemon = bench.daemon(name)
        self.clock = WallClock(bench, name, bench.binary)
        self.spool = self.daemon.spool
        self.spool.folder.mkdir(parents=True)
        self.days = {}
        for day in map(ago, SPOOLED):
            line = {"at": f"{day}T12:00:00Z", **outcome("spooled.test")}
            path = self.spool.folder / f"{day}.jsonl"
            path.write_text(json.dumps(line, separators=(",", ":")) + "\n")
            self.days[path] = path.read_bytes()

    def __enter__(self):
        self.daemon.start(environment=self.clock.environment)
        return self

    def __exit__(self, *whatever):
        self.daemon.__exit__(*whatever)

    def restart(self):
        equal(self.daemon.stop(), 0, "exit status")
        self.daemon.start(environment=self.clock.environment)

    def remember(self):
        for domain, expected in POLICIES.items():
            equal(ask(domain), expected, f"{domain} by the right clock")

    def live_with_it(self, which):
        """Outcomes come, and what is due by that clock is looked at."""
        for _ in range(2):  # between the two, old days are looked for
            self.spool.wait_written(TLSRPT_SOCKET)
        assert (self.spool.folder / f"{self.clock.day()}.jsonl").exists(), \
            f"{which}: the daemon does not go by that clock"
        time.sleep(WRONG_FOR)
        self.daemon.check_alive()

    def lost(self, when):
        """What is gone, in words; neither DNS nor HTTPS answers any more."""
        self.daemon.configure(dane__enabled="no", dns__server=NOBODY,
                              dns__timeout="1s")
        self.restart()
        problems = []
        for domain, expected in POLICIES.items():
            if not self.daemon.remembered(domain):
                problems.append(f"{when}: {domain} is forgotten")
            if (reply := ask(domain)) != expected:
                problems.append(f"{when}: {domain} is answered {reply!r}")
        for path, content in self.days.items():
            if not path.exists():
                problems.append(f"{when}: the spool's {path.name} is gone")
            elif path.read_bytes() != content:
                problems.append(f"{when}: the spool's {path.name} differs")
        return problems


def fine(problems):
    assert not problems, "\n     ".join(["", *problems])


def clock_ahead_at_start(bench):
    """Started with a wrong clock, of either kind, and again with the right
    one."""
    problems = []
    for which, days in STEPS.items():
        with Clocked(bench, f"clock-{which}-at-start") as clocked:
            clocked.remember()
            clocked.clock.step(days)
            clocked.restart()
            equal(ask(STS), BY_WRONG_CLOCK[which], which)
            clocked.live_with_it(which)
            clocked.clock.step(0)
            clocked.restart()
            problems += clocked.lost(f"the clock was {which}")
    fine(problems)


def clock_leaps_while_running(bench):
    """There and back again, without a restart and then with one."""
    problems = []
    for which, days in STEPS.items():
        with Clocked(bench, f"clock-leaps-{which}") as clocked:
            clocked.remember()
            clocked.clock.step(days)
            # Other ports are other questions: nothing is known in memory.
            equal(ask(STS + ":587"), BY_WRONG_CLOCK[which], which)
            clocked.live_with_it(which)
            clocked.clock.step(0)
            reply = ask(STS + ":465")
            if reply != POLICIES[STS]:
                problems.append(f"the clock is no more {which}: {reply!r}")
            problems += clocked.lost(f"the clock leapt and was {which}")
    fine(problems)


def failures_by_a_wrong_clock(bench):
    """A fetch that failed by it, and is dated by it, holds up none by the
    right one."""
    problems = []
    for which, days in STEPS.items():
        with Clocked(bench, f"clock-failure-{which}") as clocked:
            clocked.clock.step(days)
            equal(ask(NEW), NONE, f"while no certificate counts ({which})")
            clocked.clock.step(0)
            for how, port in (("at once", ":587"), ("restarted", ":465")):
                reply = ask(NEW + port)
                if reply != NEW_POLICY:
                    problems.append(f"it was {which}, {how}: {reply!r}")
                clocked.restart()
    fine(problems)


def reports_wait_for_the_clock(bench):
    """postern-report serve, started with a clock that is ahead, ends no day."""
    publish(bench, {A: f"{HTTPS}/x"})
    reporter = Reporter(bench, "clock-reports")
    clock = WallClock(bench, "clock-reports", bench.reporter)
    today = reporter.spool.folder / f"{ago(0)}.jsonl"
    reporter.add(outcome(A))
    today.write_text(json.dumps(
        {"at": f"{ago(0)}T00:00:00Z", **outcome(A)},
        separators=(",", ":")) + "\n")
    with HttpsHosts(bench) as hosts:
        clock.step(STEPS["ahead"])
        reporter.start(environment=clock.environment)
        time.sleep(WRONG_FOR)
        equal(reporter.stop(), 0, "exit status")
        equal([day for day in reporter.status()["days"] if day.get("closed")],
              [], "days that were ended")
        equal(hosts.posts, [], "posts")
        # A person's command believes the clock.
        reporter.sends(FINE)
        equal(hosts.paths(), ["/x"], "posts")
    assert today.exists(), "today's file is gone"


SCENARIOS = [clock_ahead_at_start, clock_leaps_while_running,
             failures_by_a_wrong_clock, reports_wait_for_the_clock]
