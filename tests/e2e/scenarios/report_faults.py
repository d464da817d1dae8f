"""Reports through kill -9 and full disks: none lost, none repeated in vain."""

import contextlib
import random
import signal
import sqlite3

from checks import equal, found_in
from reporting import (A, BY_MAIL, FINE, HTTPS, LIMIT, MAILBOX, SENDER, WAITS,
                       DkimKeys, HttpsHosts, Mail, Reporter, Sendmail,
                       policy_of, publish, to_be_tried)
from scenarios.disk import fill, small_disk
from testnet import wait_for
from tlsrpt import detail, outcome

# mode of Sendmail: how often the mail may have been taken in the end.
KILLS = {"unread": (1,), "read": (1,), "orphaned": (2,), "taken": (2,),
         "ended": (1, 2)}


def end_all(reporter, by):
    """By `send` or by `serve`, what waits is delivered; then it is over."""
    if by == "send":
        reporter.sends(FINE)
    else:
        reporter.start()
        reporter.wait_delivered()
        equal(reporter.stop(), 0, "exit status of serve")
    equal({row["state"] for row in reporter.deliveries().values()},
          {"delivered"}, "states")


def killed_while_it_mails(bench):
    """kill -9 around sendmail: the mail is not lost; one that was taken before
    that was written down is sent again, the same."""
    publish(bench, {A: BY_MAIL})
    keys = DkimKeys(bench.internet.folder / "dkim")
    # More than fits into a pipe, however it is compressed.
    details = [detail("validation-failure",
                      failure_reason_code=random.randbytes(80).hex())
               for _ in range(900)]
    for mode, counts in KILLS.items():
        for by in ("send", "serve"):
            sendmail = Sendmail(bench, f"{mode}-{by}")
            reporter = Reporter(
                bench, f"kill-{mode}-{by}", report__sendmail=sendmail.path,
                **keys.settings()).add(outcome(
                    A, details=details * (mode == "orphaned")))
            sendmail.does("refuse")
            report_id = to_be_tried(reporter)
            sendmail.does(mode)
            if by == "send":
                reporter.process = reporter.begin()
            else:
                reporter.launch()
            status = reporter.process.wait(LIMIT)
            assert status == -signal.SIGKILL or (mode, by, status) == \
                ("ended", "send", 0), f"{by}, {mode}: ended by {status}"
            sendmail.does("take")
            end_all(reporter, by)
            mails = sendmail.mails()
            assert len(mails) in counts, \
                f"{by}, {mode}: {len(mails)} mails, not one of {counts}"
            equal(len(set(mails)), 1, f"{by}, {mode}: different mails")
            equal(Mail.read(mails[0], A).report["report-id"], report_id, "id")
            equal(set(sendmail.arguments()), {f"-i -f {SENDER} -- {MAILBOX}"},
                  "arguments")
            equal(reporter.delivery(A)["attempts"], 1, "attempts")


def killed_while_it_posts(bench):
    """kill -9 amid a POST: it is posted again, the same; after it: it is not.
    """
    publish(bench, {A: f"{HTTPS}/stall"})
    for by in ("send", "serve"):
        reporter = Reporter(bench, f"kill-post-{by}").add(outcome(A))
        report_id = to_be_tried(reporter)  # nobody listens
        with HttpsHosts(bench) as hosts:
            if by == "send":
                reporter.process = reporter.begin()
            else:
                reporter.launch()
            assert hosts.stalled.wait(LIMIT), "no post"
            reporter.kill()
            row = reporter.delivery(A)
            equal((row["state"], row["attempts"]), ("waiting", 0), f"{row}")
            hosts.let_go.set()
            end_all(reporter, by)
            reporter.sends(FINE)
            equal(len(hosts.posts), 2, f"posts by {by}")
            equal(hosts.posts[0].body, hosts.posts[1].body, "bytes")
            equal(hosts.posts[0].report()["report-id"], report_id, "id")


MANY = 700  # domains: more than are put into the queue at once


def count_queued(reporter):
    """Reports in the queue, for now."""
    path = reporter.spool.directory / "reports/reports.db"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro",
                                            uri=True)) as queue:
        try:
            return queue.execute("SELECT count(*) FROM reports").fetchone()[0]
        except sqlite3.Error:
            return 0  # it is being made


def killed_at_every_step_of_a_day(bench):
    """kill -9 while a large day is read, queued and posted: each report
    arrives; a repeat is the same, and was under way."""
    domains = [f"d{number}.many.reports.test" for number in range(MANY)]
    publish(bench, {}, f'*.many TXT "v=TLSRPTv1; rua={HTTPS}/many"')
    reporter = Reporter(bench, "kill-day").add(*map(outcome, domains))
    queue = reporter.spool.directory / "reports/reports.db"
    with HttpsHosts(bench) as hosts:
        for by, step in (
                ("send", queue.exists),
                ("serve", lambda: count_queued(reporter) > 0),
                ("send", lambda: len(hosts.posts) > 0),
                ("serve", lambda: len(hosts.posts) > MANY // 2)):
            if by == "send":
                reporter.process = reporter.begin()
            else:
                reporter.start_to_close_days()
            wait_for(step, LIMIT, "the step at which to kill")
            equal(reporter.process.poll(), None, "an end before the kill")
            reporter.kill()
        reporter.sends(FINE)
    status = reporter.status()
    equal([row["domain"] for row in status["deliveries"]
           if row["state"] == "delivered"], sorted(domains), "delivered")
    closed = next(day for day in status["days"] if day["day"] == reporter.day)
    equal([closed[key] for key in ("lines", "domains", "reports",
                                   "reports-delivered")], [MANY] * 4, "day")
    posts = {}
    for post in hosts.posts:
        posts.setdefault(policy_of(post.report())["policy"]["policy-domain"],
                         set()).add(post.body)
    equal(sorted(posts), sorted(domains), "posts")
    equal({len(bodies) for bodies in posts.values()}, {1}, "bytes of repeats")
    repeats = len(hosts.posts) - MANY
    # Two at a time go to one host, and it was killed four times.
    assert repeats <= 2 * 4, f"{repeats} repeats"


def queue_without_room(bench):
    """A full disk is named; with room again, the day is reported."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "no-room")
    folder = bench.internet.log / "no-room.queue"
    reporter = Reporter(bench, "no-room", report__queue_directory=folder,
                        report__sendmail=sendmail.path).add(outcome(A))
    filler = folder / "filler"
    with small_disk(folder):
        for when in ("without a queue", "with a queue"):
            fill(filler)
            found_in(rf"postern-report: .*{folder}/reports.db.*: database or "
                     "disk is full", reporter.sends(WAITS).stderr, when)
            equal(sendmail.mails(), [], when)
            filler.unlink()
            reporter.command("send", "--day", "2020-01-01")  # makes the queue
        reporter.sends(FINE)
        equal(len(sendmail.mails()), 1, "mails")
        equal(reporter.delivery(A)["attempts"], 1, "attempts")


def no_room_to_write_down_a_delivery(bench):
    """serve keeps in memory what was taken, until there is room: it is not
    sent twice."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "full-then")
    folder = bench.internet.log / "full-then.queue"
    reporter = Reporter(bench, "full-then", report__queue_directory=folder,
                        report__sendmail=sendmail.path).add(outcome(A))
    filler = folder / "filler"
    with small_disk(folder):
        sendmail.does("refuse")
        to_be_tried(reporter)
        sendmail.fills(filler)
        reporter.start()
        wait_for(lambda: reporter.metric("postern_report_unwritten") == 1,
                 LIMIT, "a delivery that cannot be written down")
        found_in("level=error event=queue_trouble reason=.*disk is full",
                 reporter.text(), "the log")
        equal(reporter.delivery(A)["state"], "waiting", "state")
        sendmail.does("take")
        filler.unlink()
        reporter.wait_delivered()
        equal(reporter.metric("postern_report_unwritten"), 0, "unwritten")
        equal(len(sendmail.mails()), 1, "mails")
        equal(reporter.delivery(A)["attempts"], 1, "attempts")
        equal(reporter.stop(), 0, "exit status")


SCENARIOS = [killed_while_it_mails, killed_while_it_posts,
             killed_at_every_step_of_a_day, queue_without_room,
             no_room_to_write_down_a_delivery]
