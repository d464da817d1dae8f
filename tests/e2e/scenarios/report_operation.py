"""Reports as operators have them: the daemon, the commands, what they say."""

import contextlib
import datetime
import json
import sqlite3
import stat

import world
from checks import equal, found_in
from reporting import (A, BY_MAIL, FINE, GIVEN_UP, HTTPS, LIMIT, MAILBOX,
                       SENDER, USAGE, WAITS, DkimKeys, HttpsHosts, Mail,
                       Reporter, Sendmail, is_valid, policy_of, publish,
                       to_be_tried, verify_signatures)
from sender import TLSRPT_SOCKET
from testnet import wait_for
from tlsrpt import datagram, detail, outcome, send_datagrams


def serve_reports_the_day_before(bench):
    """serve closes it at its start and delivers; metrics tell; another one is
    refused; SIGTERM ends it."""
    publish(bench, {A: f"{BY_MAIL},{HTTPS}/x"})
    sendmail = Sendmail(bench, "serve")
    reporter = Reporter(bench, "reporting",
                        report__sendmail=sendmail.path).add(outcome(A))
    with HttpsHosts(bench) as hosts, reporter.start_to_close_days():
        wait_for(lambda: sendmail.mails() and hosts.posts, LIMIT,
                 "a mail and a post")
        reporter.wait_delivered()
        for name, value in (
                ("postern_report_built_total", 1),
                ('postern_report_deliveries_total{by="mail",'
                 'result="delivered"}', 1),
                ('postern_report_deliveries_total{by="https",'
                 'result="delivered"}', 1),
                ('postern_report_deliveries_total{result="failed"}', 0),
                ("postern_report_last_closed_day",
                 datetime.datetime.fromisoformat(
                     reporter.day + "T00:00:00+00:00").timestamp())):
            equal(reporter.metric(name), value, name)
        found_in(rf"event=day_closed day={reporter.day} lines=1 .*reports=1",
                 reporter.text(), "the log")
        second = Reporter(bench, "reporting-too", report__metrics_listen=None,
                          **{key: reporter.own[key] for key in (
                              "spool__directory", "report__queue_directory")})
        second.launch()
        equal(second.process.wait(LIMIT), USAGE, "the second's exit status")
        found_in("another postern-report delivers from .*reports.db",
                 second.text(), "the second's log")
        reporter.check_alive()
        equal(reporter.stop(), 0, "exit status")
    equal((len(sendmail.mails()), hosts.paths()), (1, ["/x"]), "delivered")
    # Started again, it has nothing to do.
    with HttpsHosts(bench) as hosts, reporter.start_to_close_days():
        reporter.wait_delivered()
        equal(reporter.stop(), 0, "exit status")
        equal(hosts.posts, [], "posts")
    equal(len(sendmail.mails()), 1, "mails")


def serve_reloads(bench):
    """SIGHUP: what is new counts from then on; what is wrong changes nothing;
    what needs a restart is named."""
    publish(bench, {A: BY_MAIL})
    one, other = Sendmail(bench, "reload-1"), Sendmail(bench, "reload-2")
    one.does("refuse")
    reporter = Reporter(bench, "reloaded",
                        report__sendmail=one.path).add(outcome(A))
    reporter.sends(WAITS)
    row = reporter.delivery(A)
    found_in("a temporary failure: too busy today", row["reason"], "reason")
    with reporter.start():
        reporter.configure(report__jiter="1h")
        found_in(rf"event=reload_failed reason=.*{reporter.config}:\d+: .*"
                 r"report\.jitter", reporter.reload(), "the log")
        reporter.configure(report__sendmail=other.path,
                           report__metrics_listen=None)
        text = reporter.reload()
        found_in(r"event=restart_needed .*report\.metrics_listen", text,
                 "the log")
        found_in("event=reloaded", text, "the log")
        equal(reporter.command("retry", row["report-id"]).returncode, FINE,
              "exit status of retry")
        reporter.wait_delivered()
        equal(reporter.stop(), 0, "exit status")
    equal((len(one.mails()), len(other.mails())), (0, 1), "mails")


def send_beside_serve(bench):
    """Where serve runs, it delivers; however many ask for it, once."""
    publish(bench, {A: f"{BY_MAIL},{HTTPS}/x"})
    sendmail = Sendmail(bench, "beside")
    reporter = Reporter(bench, "beside", report__sendmail=sendmail.path,
                        report__jitter="20h").add(outcome(A))
    with HttpsHosts(bench) as hosts, reporter.start_to_close_days():
        wait_for(lambda: "event=day_closed day=" + reporter.day in
                 reporter.text(), LIMIT, "the end of the day")
        equal((hosts.posts, sendmail.mails()), ([], []), "before its time")
        others = [reporter.begin(), reporter.begin(A)]
        sent = reporter.sends(FINE)
        found_in("postern-report serve delivers them", sent.stderr, "send")
        found_in("2 deliveries made, 0 waiting", sent.stdout, "send")
        for other in others:
            equal(other.wait(LIMIT), FINE, "exit status of another send")
        equal(reporter.stop(), 0, "exit status")
        equal((hosts.paths(), len(sendmail.mails())), (["/x"], 1), "delivered")
    for row in reporter.deliveries().values():
        equal((row["state"], row["attempts"]), ("delivered", 1), f"{row}")


def sends_at_once(bench):
    """Several at the same time, without serve: each report once."""
    domains = [f"d{number}.many.reports.test" for number in range(30)]
    publish(bench, {}, f'*.many TXT "v=TLSRPTv1; rua={HTTPS}/many"')
    reporter = Reporter(bench, "at-once").add(*map(outcome, domains))
    with HttpsHosts(bench) as hosts:
        for sending in [reporter.begin() for _ in range(4)]:
            equal(sending.wait(LIMIT), FINE, "exit status")
        equal(len(hosts.posts), len(domains), "posts")


def serve_ends_after_what_is_under_way(bench):
    """SIGTERM amid a POST: its end is waited for and written down."""
    publish(bench, {A: f"{HTTPS}/stall"})
    reporter = Reporter(bench, "ending").add(outcome(A))
    to_be_tried(reporter)  # nobody listens
    with HttpsHosts(bench) as hosts, reporter.start():
        assert hosts.stalled.wait(LIMIT), "no post"
        reporter.process.terminate()
        wait_for(lambda: "event=stopping under_way=1" in reporter.text(),
                 LIMIT, "the signal")
        hosts.let_go.set()
        equal(reporter.process.wait(LIMIT), 0, "exit status")
        equal(reporter.delivery(A)["state"], "delivered", "state")
        equal(hosts.paths(), ["/stall"], "posts")


def slow_lookups_keep_no_report_back(bench):
    """serve delivers what was built before a slow lookup ended, too."""
    dead = "dead.reports.test"
    publish(bench, {A: f"{HTTPS}/x"}, f"dead NS ns.{dead}.",
            f"ns.{dead}. A {world.V4}85")  # nobody answers there
    reporter = Reporter(bench, "slow-lookup").add(
        outcome(A), outcome(dead, record=f"v=TLSRPTv1; rua={HTTPS}/dead"))
    with HttpsHosts(bench) as hosts, reporter.start_to_close_days():
        hosts.wait_posts(2)
        equal(sorted(hosts.paths()), ["/dead", "/x"], "posts")
        equal(reporter.stop(), 0, "exit status")


def serve_as_somebody_else(bench):
    """With report.user, the queue is theirs, and root's key signs; the commands
    of root's become them, too."""
    publish(bench, {A: BY_MAIL})
    keys = DkimKeys(bench.internet.folder / "dkim")
    keys.publish(bench)
    reporter = Reporter(bench, "as-nobody", run__user="daemon",
                        report__user="nobody",
                        **keys.settings()).add(outcome(A))
    before = len(bench.log.received(MAILBOX))
    with bench.daemon("as-nobody-policies"), reporter.start_to_close_days():
        wait_for(lambda: len(bench.log.received(MAILBOX)) > before, LIMIT,
                 "the mail")
        reporter.wait_delivered()
        equal(reporter.command("status").returncode, FINE, "status")
        reporter.sends(FINE)
        equal(reporter.stop(), 0, "exit status")
    raw = (bench.internet.mail /
           bench.log.received(MAILBOX)[-1]["file"]).read_bytes()
    equal(verify_signatures(raw), ["ed25519-sha256", "rsa-sha256"],
          "signatures")
    files = list((reporter.spool.directory / "reports").iterdir())
    assert files, "no queue"
    equal({path.owner() for path in files}, {"nobody"}, f"owner of {files}")
    equal({stat.S_IMODE(path.stat().st_mode) & 0o007 for path in files}, {0},
          f"what others may do with {files}")


def preview(bench):
    """Shows what would be sent, as JSON and as mails; nothing is written."""
    publish(bench, {A: f"{BY_MAIL},{HTTPS}/x",
                    "b.reports.test": "ftp://x.test/"})
    keys = DkimKeys(bench.internet.folder / "dkim")
    keys.publish(bench)
    reporter = Reporter(bench, "preview", **keys.settings()).add(
        outcome(A), outcome(A, details=[detail("starttls-not-supported")]),
        outcome("b.reports.test"))
    words = ("preview", "--day", reporter.day)
    shown = reporter.command(*words)
    equal(shown.returncode, FINE, f"exit status of preview: {shown.stderr}")
    reports = [json.loads(line) for line in shown.stdout.splitlines()]
    for report in reports:
        is_valid(report)
    equal([policy_of(report)["summary"] for report in reports],
          [{"total-successful-session-count": 1,
            "total-failure-session-count": failed} for failed in (1, 0)],
          "sessions")
    found_in(rf"(?m)^{A}: 1 session fine, 1 failed\n  to {BY_MAIL}\n"
             rf"  to {HTTPS}/x$", shown.stderr, "where it would go")
    found_in(r"(?m)^b.reports.test: .*\n  no report: it wants no reports\n  refused: .*ftp:",
             shown.stderr, "why it goes nowhere")
    mail = reporter.command(*words, A, "--mail").stdout.encode()
    equal(Mail.read(mail, A, is_copy=True).report, reports[0], "the report in the mail")
    equal(verify_signatures(mail), ["ed25519-sha256", "rsa-sha256"],
          "signatures")
    nothing = reporter.command(*words, "c.reports.test")
    equal((nothing.returncode, nothing.stdout), (GIVEN_UP, ""), "a stranger")
    found_in(f"no outcome of {reporter.day} at c.reports.test", nothing.stderr,
             "a stranger")
    assert not (reporter.spool.directory / "reports").exists(), \
        "preview made a queue"


def table(reporter):
    """What `status` prints of A, and its exit code."""
    status = reporter.command("status")
    return status.stdout, status.returncode


def operators_see_and_change_what_waits(bench):
    """status, retry and drop, and their exit codes."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "operators")
    reporter = Reporter(bench, "operators",
                        report__sendmail=sendmail.path).add(outcome(A))
    none = reporter.command("status")
    equal((none.returncode, none.stdout), (FINE, ""), "status before all")
    found_in("no day has been reported yet", none.stderr, "status before all")

    sendmail.does("refuse")
    found_in(f"{A}: waiting, to {BY_MAIL}: .*too busy today",
             reporter.sends(WAITS).stderr, "send")
    row = reporter.delivery(A)
    short = row["report-id"][:12]
    text, code = table(reporter)
    found_in(rf"(?m)^DAY .*\n{reporter.day} +1 +1 +1 +0 +1 +0 +0\n\nID .*\n"
             rf"{short} +{reporter.day} +{A} +waiting +1 +{row['next']} +"
             rf"{BY_MAIL}\n  .*too busy today$", text, "the table")
    equal(code, FINE, "exit status of status with what waits")

    def change(command, expected, pattern):
        changed = reporter.command(command, short)
        equal(changed.returncode, expected, f"{command}: {changed.stderr}")
        found_in(pattern, changed.stdout + changed.stderr, command)
    change("drop", FINE, "^1 delivery dropped")
    change("drop", GIVEN_UP, "nothing of it waits")
    found_in(rf"(?m)^{short} .* dropped +1 ", table(reporter)[0], "the table")
    sendmail.does("take")
    reporter.sends(FINE)
    equal(sendmail.mails(), [], "mails of what was dropped")
    change("retry", FINE, "^1 delivery to be tried now")
    reporter.sends(FINE)
    equal(len(sendmail.mails()), 1, "mails")
    change("retry", GIVEN_UP, "all of it was delivered")
    text, code = table(reporter)
    equal((code, short in text), (FINE, False), "status when all is delivered")
    found_in(rf"{short} .* delivered ",
             reporter.command("status", "--all").stdout, "status --all")
    for words, expected, pattern in (
            (("retry", "0" * 12), GIVEN_UP, "there is no report"),
            (("drop", "0"), GIVEN_UP, "too short"),
            (("retry",), USAGE, "needs one ID"),
            (("resend",), USAGE, "commands are"),
            (("send",), USAGE, "needs --day"),
            (("send", "--day", "tomorrow"), USAGE, "--day cannot be"),
            (("send", "--day", reporter.day, "--to", "root"), USAGE,
             "--to cannot be"),
            (("status", "--day", "2026-11-31"), USAGE, "--day cannot be")):
        said = reporter.command(*words)
        equal((said.returncode, said.stdout), (expected, ""), f"{words}")
        found_in(pattern, said.stderr, f"{words}")


def today_is_not_reported(bench):
    """A day that has not ended is not sent, but shown, and to an address."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "today")
    reporter = Reporter(bench, "today", report__sendmail=sendmail.path)
    reporter.day = "today"
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    with bench.daemon("today-policies",
                      spool__directory=reporter.spool.directory):
        send_datagrams(TLSRPT_SOCKET, datagram(A))
        reporter.spool.wait(A)
    found_in("has not ended", reporter.sends(USAGE).stderr, "send")
    shown = reporter.command("preview", "--day", "today", A)
    equal(policy_of(json.loads(shown.stdout))["summary"]
          ["total-successful-session-count"], 1, f"sessions {shown.stderr}")
    copy = reporter.sends(FINE, A, "--to", "me@told-good.test")
    found_in("1 report sent to me@told-good.test", copy.stdout, "send --to")
    equal(sendmail.arguments(), [f"-i -f {SENDER} -- me@told-good.test"],
          "arguments")
    report, = [Mail.read(mail, A, is_copy=True).report
               for mail in sendmail.mails()]
    found_in(f"^{today}T", report["date-range"]["start-datetime"], "its day")
    assert not (reporter.spool.directory / "reports").exists(), \
        "copies were recorded"


def one_domain_first(bench):
    """send of a domain, then of the day: that domain is not told twice."""
    domains = [A, "b.reports.test"]
    publish(bench, {domain: BY_MAIL for domain in domains})
    sendmail = Sendmail(bench, "one-first")
    reporter = Reporter(bench, "one-first", report__sendmail=sendmail.path)
    reporter.add(*map(outcome, domains))
    found_in("1 delivery made", reporter.sends(FINE, A).stdout, "send A")
    equal(reporter.status()["days"][0].get("closed"), None, "the day")
    # What comes later does not change what was told.
    reporter.add(outcome(A))
    found_in("2 deliveries made", reporter.sends(FINE).stdout, "send")
    equal([row["successful"] for row in reporter.status()["deliveries"]],
          [1, 1], "sessions")
    equal(len(sendmail.mails()), 2, "mails")


def given_up(bench):
    """What nobody takes for report.retry_for is given up; then exit code 1,
    until it is retried."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "given-up")
    reporter = Reporter(bench, "given-up",
                        report__sendmail=sendmail.path).add(outcome(A))
    sendmail.does("refuse")
    reporter.sends(WAITS)
    # As if its first try had been long ago, and as many had followed as there
    # is time for: a clock that leaps gives nothing up.
    with contextlib.closing(sqlite3.connect(
            reporter.spool.directory / "reports/reports.db")) as queue:
        queue.execute("UPDATE deliveries SET first = first - 86400, "
                      "attempts = 20")
        queue.commit()
    found_in(f"{A}: given-up, to .*too busy", reporter.sends(GIVEN_UP).stderr,
             "send")
    text, code = table(reporter)
    found_in(f"{A} +given-up +21 ", text, "the table")
    equal(code, GIVEN_UP, "exit status of status")
    sendmail.does("take")
    report_id = reporter.delivery(A)["report-id"]
    equal(reporter.command("retry", report_id).returncode, FINE, "retry")
    reporter.sends(FINE)
    equal((len(sendmail.mails()), table(reporter)[1]), (1, FINE), "in the end")


SCENARIOS = [serve_reports_the_day_before, serve_reloads, send_beside_serve,
             sends_at_once, serve_ends_after_what_is_under_way,
             slow_lookups_keep_no_report_back, serve_as_somebody_else, preview,
             operators_see_and_change_what_waits, today_is_not_reported,
             one_domain_first, given_up]
