"""Reports: from sessions to mailboxes and https hosts, and what is between."""

import contextlib
import datetime
import json
import random
import signal
import sqlite3
import stat

import debian13
import world
from checks import Skipped, equal, found_in
from daemon import OUR_INTERNET
from newer_postfix import ROOT
from reporting import (CONTACT, FINE, GIVEN_UP, LIMIT, MAILBOX, ORGANIZATION,
                       RUA, SENDER, SUBMITTER, USAGE, WAITS, DkimKeys,
                       HttpsHosts, Mail, Reporter, Sendmail, is_valid,
                       make_it_yesterday, publish, reported_day,
                       verify_signatures)
from scenarios.disk import fill, small_disk
from sender import TLSRPT_SOCKET
from sessions import DatagramSessions, Session, fails
from testnet import wait_for
from tlsrpt import datagram, detail, outcome, send_datagrams

HTTPS = f"https://{RUA}"
BY_MAIL = f"mailto:{MAILBOX}"
A = "a.reports.test"
GOOD, BAD = "told-good.test", "told-bad.test"
TOLD = [Session("told-good", "sts", "mx"),
        fails("told-bad", "sts", "certificate-host-mismatch", None)]


def spool_of_sessions(bench):
    """Of a day on which mails went to told-good.test and told-bad.test."""
    root = debian13.cached()
    if not root:
        by_hand = Reporter(bench, "told-spool")
        by_hand.add(*(line for one in TOLD for line in one.outcomes()))
        return by_hand.spool
    with DatagramSessions(bench, root, "told-spool") as sessions:
        for found in sessions.run(TOLD):
            assert not found, f"{found}"
        spool = sessions.daemon.spool
    make_it_yesterday(spool)
    return spool


def policy_of(report):
    """The only one of a report."""
    policy, = report["policies"]
    return policy


def is_told(report, domain, successful, failed):
    day = reported_day().isoformat()
    equal({key: report[key] for key in report
           if key not in ("report-id", "policies")},
          {"organization-name": ORGANIZATION, "contact-info": CONTACT,
           "date-range": {"start-datetime": f"{day}T00:00:00Z",
                          "end-datetime": f"{day}T23:59:59Z"}},
          "the head of the report")
    found_in(rf"^[0-9a-f]+@{SUBMITTER}$", report["report-id"], "report-id")
    policy = policy_of(report)
    wanted = world.BY_NAME[domain.partition(".")[0]]
    equal(policy["policy"],
          {"policy-type": "sts", "policy-domain": domain,
           "policy-string": wanted.policy_text().splitlines(),
           "mx-host": list(wanted.mx)}, "policy")
    equal(policy["summary"],
          {"total-successful-session-count": successful,
           "total-failure-session-count": failed}, "summary")
    host = wanted.hosts[0]
    equal(sorted(policy["failure-details"],
                 key=lambda one: ":" in one["receiving-ip"]),
          [detail("certificate-host-mismatch", sending_mta_ip=ours,
                  receiving_mx_hostname=host.name,
                  receiving_mx_helo=f"gateway.{host.name}",
                  receiving_ip=theirs)
           for ours, theirs in zip(world.OUR_ADDRESSES, host.address)
           ] if failed else [], "details")


def mails_that_arrived(bench, before, count):
    """{domain: (the receiver's record, the mail)} of reports at MAILBOX.

    before: so many were there before.
    """
    def all_of_them():
        records = bench.log.received(MAILBOX)[before:]
        return len(records) >= count and records
    records = wait_for(all_of_them, LIMIT, f"{count} mails to {MAILBOX}")
    equal(len(records), count, "mails")
    found = {}
    for record in records:
        raw = (bench.internet.mail / record["file"]).read_bytes()
        domain = found_in(r"(?m)^TLS-Report-Domain: (\S+)\r$", raw.decode(),
                          "the mail")[1]
        found[domain] = record, raw
    return found


def reports_go_the_whole_way(bench):
    """What Postfix told of its sessions arrives, by mail and by https."""
    spool = spool_of_sessions(bench)
    keys = DkimKeys(bench.internet.folder / "dkim")
    keys.publish(bench)
    publish(bench, {})
    reporter = Reporter(bench, "told", spool__directory=spool.directory,
                        **keys.settings())
    before = len(bench.log.received(MAILBOX))
    with bench.daemon("told-policies"), HttpsHosts(bench) as hosts:
        sent = reporter.sends(FINE)
        found_in("4 deliveries made, 0 waiting", sent.stdout, "send")
        arrived = mails_that_arrived(bench, before, 2)
    equal(sent.stderr.count("level="), 0, "complaints: " + sent.stderr)
    equal(hosts.paths(), ["/told", "/told"], "posts")
    posts = {policy_of(post.report())["policy"]["policy-domain"]: post
             for post in hosts.posts}
    for domain, successful, failed in ((GOOD, 1, 0), (BAD, 0, 2)):
        record, raw = arrived[domain]
        equal(record["from"], SENDER, "envelope sender")
        equal(record["to"], [MAILBOX], "recipients")
        mail = Mail.read(raw, domain)
        is_told(mail.report, domain, successful, failed)
        equal(verify_signatures(raw), ["ed25519-sha256", "rsa-sha256"],
              "signatures")
        equal(posts[domain].headers["Content-Type"],
              "application/tlsrpt+gzip", "Content-Type")
        equal(posts[domain].body, mail.gzip, "what was posted")
    for row in reporter.status()["deliveries"]:
        equal((row["state"], row["attempts"]), ("delivered", 1), f"{row}")
    equal(sum(row["successful"] + row["failed"]
              for row in reporter.deliveries().values()), 2 * 3, "sessions")
    # Once more: nothing is sent twice.
    with HttpsHosts(bench) as hosts:
        found_in("4 deliveries made", reporter.sends(FINE).stdout, "again")
        equal(hosts.posts, [], "posts")


def reports_reach_those_whose_tls_fails(bench):
    """By Postfix 3.10: TLS-Required: No; nor is that session told."""
    root = debian13.cached()
    if not root:
        raise Skipped("no Debian 13's Postfix here")
    domain = "sts-wrong-cert.test"
    with DatagramSessions(bench, root, "despite-tls") as sessions:
        sendmail = bench.internet.folder / "sendmail-debian13"
        sendmail.write_text(f'#!/bin/sh\nexec chroot {ROOT} '
                            '/usr/sbin/sendmail "$@"\n')
        sendmail.chmod(0o755)
        reporter = Reporter(bench, "despite-tls-report",
                            report__sendmail=sendmail).add(outcome(domain))
        reporter.sends(FINE)
        delivery = sessions.wait(f"tls@{domain}")
        equal(delivery.status, "sent", f"delivery: {delivery}")
        mail, = bench.log.received(f"tls@{domain}")
        Mail.read((bench.internet.mail / mail["file"]).read_bytes(), domain)
        sessions.wait_written()
        equal(sessions.daemon.spool.outcomes(domain), [], "outcomes")


def own_mails_are_not_reported(bench):
    """A domain that had nothing but mails of ours gets no report."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "own-mails")
    reporter = Reporter(bench, "own-mails",
                        report__sendmail=sendmail.path).add(outcome(A))
    reporter.sends(FINE)
    equal(len(sendmail.mails()), 1, "mails")
    # As if that mail had gone out on the day that is reported.
    with contextlib.closing(sqlite3.connect(
            reporter.spool.directory / "reports/reports.db")) as queue:
        queue.execute("UPDATE mails SET day = ?", [reporter.day])
        queue.execute("DELETE FROM days")
        queue.commit()
    reporter.add(outcome("reports.test"))
    found_in("2 domains, 1 report wanted; .* 1 with mails of ours alone",
             reporter.sends(FINE).stdout, "send")
    equal(len(sendmail.mails()), 1, "mails")


def spools_of_several_machines(bench):
    """One report for all of them; without one of them, none."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "machines")
    other = Reporter(bench, "machines-other").add(outcome(A), outcome(A))
    own = bench.internet.log / "machines.spool"
    reporter = Reporter(bench, "machines", report__sendmail=sendmail.path,
                        spool__directory=[own, other.spool.directory]).add(
        outcome(A, details=[detail("starttls-not-supported")]))
    away = other.spool.directory.with_suffix(".away")
    other.spool.directory.rename(away)
    found_in(f"cannot read {other.spool.directory}/outcomes",
             reporter.sends(WAITS).stderr, "send")
    equal(sendmail.mails(), [], "mails")
    away.rename(other.spool.directory)
    reporter.sends(FINE)
    mail, = sendmail.mails()
    equal(policy_of(Mail.read(mail, A).report)["summary"],
          {"total-successful-session-count": 2,
           "total-failure-session-count": 1}, "sessions")


ANSWERS = ("fine", "moved", "busy", "endless", "endless-failure")


def https_hosts_answer_as_they_like(bench):
    """201 is enough; no redirect is followed; Retry-After counts; an answer
    without an end is cut off."""
    publish(bench, {f"{name}.reports.test": f"{HTTPS}/{name}"
                    for name in ANSWERS})
    reporter = Reporter(bench, "answers").add(
        *(outcome(f"{name}.reports.test") for name in ANSWERS))
    started = datetime.datetime.now(datetime.timezone.utc).replace(
        microsecond=0)
    with HttpsHosts(bench) as hosts:
        reporter.sends(WAITS)
        for domain, state, reason in (
                ("fine", "delivered", None),
                ("moved", "waiting", "the server answered 302 (redirects are "
                 "not followed)"),
                ("busy", "waiting", "the server answered 503"),
                ("endless", "delivered", None),
                ("endless-failure", "waiting", ".*larger than 65536 bytes")):
            row = reporter.delivery(f"{domain}.reports.test")
            equal(row["state"], state, f"{row}")
            if reason:
                found_in(reason.replace("(", r"\(").replace(")", r"\)"),
                         row["reason"], domain)
            if state == "waiting":
                pause = datetime.datetime.fromisoformat(
                    row["next"].replace("Z", "+00:00")) - started
                least = 7200 if domain == "busy" else 300
                assert least <= pause.total_seconds() < least + 60, \
                    f"{domain} is tried again after {pause}"
        equal(sorted(hosts.paths()), ["/endless", "/endless-failure", "/fine"],
              "what was asked for")
        assert hosts.poured < 64 << 20, f"{hosts.poured} bytes were taken"


def https_hosts_must_be_who_they_say(bench):
    """A certificate for another name is refused, and so is one of nobody we
    know; then the report is not shown to anybody."""
    publish(bench, {"a.reports.test": "https://impostor.reports.test/x",
                    "b.reports.test": f"{HTTPS}/x"})
    reporter = Reporter(bench, "impostor").add(outcome("a.reports.test"))
    stranger = Reporter(bench, "stranger", report__ca_file=None).add(
        outcome("b.reports.test"))
    with HttpsHosts(bench) as hosts:
        for one, domain in ((reporter, "a"), (stranger, "b")):
            one.sends(WAITS)
            row = one.delivery(f"{domain}.reports.test")
            equal(row["state"], "waiting", f"{row}")
            found_in("certificate: ", row["reason"], "reason")
        equal(hosts.posts, [], "posts")


def posts_to_private_addresses(bench):
    """Refused, unless report.allow_private lists them."""
    publish(bench, {"a.reports.test": f"{HTTPS}/x"})
    reporter = Reporter(bench, "private", report__allow_private=None).add(
        outcome("a.reports.test"))
    with HttpsHosts(bench) as hosts:
        reporter.sends(WAITS)
        found_in(r"non-global addresses.*report\.allow_private",
                 reporter.delivery("a.reports.test")["reason"], "reason")
        equal(hosts.posts, [], "posts")
        reporter.configure(report__allow_private=OUR_INTERNET)
        reporter.sends(FINE)
        equal(hosts.paths(), ["/x"], "posts")



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


def to_be_tried(reporter):
    """The day's only report is in the queue after a try that failed, and due:
    serve does not wait before it delivers it. Returns its report-id."""
    reporter.sends(WAITS)
    report_id = reporter.delivery(A)["report-id"]
    retried = reporter.command("retry", report_id)
    equal(retried.returncode, FINE, f"exit status of retry ({retried.stderr})")
    return report_id


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
                reporter.launch()
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


def serve_reports_the_day_before(bench):
    """serve closes it at its start and delivers; metrics tell; another one is
    refused; SIGTERM ends it."""
    publish(bench, {A: f"{BY_MAIL},{HTTPS}/x"})
    sendmail = Sendmail(bench, "serve")
    reporter = Reporter(bench, "reporting",
                        report__sendmail=sendmail.path).add(outcome(A))
    with HttpsHosts(bench) as hosts, reporter.start():
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
                          spool__directory=reporter.spool.directory)
        second.launch()
        equal(second.process.wait(LIMIT), USAGE, "the second's exit status")
        found_in("another postern-report delivers from .*reports.db",
                 second.text(), "the second's log")
        reporter.check_alive()
        equal(reporter.stop(), 0, "exit status")
    equal((len(sendmail.mails()), hosts.paths()), (1, ["/x"]), "delivered")
    # Started again, it has nothing to do.
    with HttpsHosts(bench) as hosts, reporter.start():
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
    with HttpsHosts(bench) as hosts, reporter.start():
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
    with HttpsHosts(bench) as hosts, reporter.start():
        hosts.wait_posts(2)
        equal(sorted(hosts.paths()), ["/dead", "/x"], "posts")
        equal(reporter.stop(), 0, "exit status")


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
    equal(Mail.read(mail, A).report, reports[0], "the report in the mail")
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
    report, = [Mail.read(mail, A).report for mail in sendmail.mails()]
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


def serve_as_somebody_else(bench):
    """With run.user, the queue is theirs, and root's key signs; the commands
    of root's become them, too."""
    publish(bench, {A: BY_MAIL})
    keys = DkimKeys(bench.internet.folder / "dkim")
    keys.publish(bench)
    reporter = Reporter(bench, "as-nobody", run__user="nobody",
                        **keys.settings()).add(outcome(A))
    before = len(bench.log.received(MAILBOX))
    with bench.daemon("as-nobody-policies"), reporter.start():
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


def given_up(bench):
    """What nobody takes for report.retry_for is given up; then exit code 1,
    until it is retried."""
    publish(bench, {A: BY_MAIL})
    sendmail = Sendmail(bench, "given-up")
    reporter = Reporter(bench, "given-up",
                        report__sendmail=sendmail.path).add(outcome(A))
    sendmail.does("refuse")
    reporter.sends(WAITS)
    # As if its first try had been long ago, and not the only one.
    with contextlib.closing(sqlite3.connect(
            reporter.spool.directory / "reports/reports.db")) as queue:
        queue.execute("UPDATE deliveries SET first = first - 86400, "
                      "attempts = 2")
        queue.commit()
    found_in(f"{A}: given-up, to .*too busy", reporter.sends(GIVEN_UP).stderr,
             "send")
    text, code = table(reporter)
    found_in(f"{A} +given-up +3 ", text, "the table")
    equal(code, GIVEN_UP, "exit status of status")
    sendmail.does("take")
    report_id = reporter.delivery(A)["report-id"]
    equal(reporter.command("retry", report_id).returncode, FINE, "retry")
    reporter.sends(FINE)
    equal((len(sendmail.mails()), table(reporter)[1]), (1, FINE), "in the end")


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


SCENARIOS = [reports_go_the_whole_way, reports_reach_those_whose_tls_fails,
             own_mails_are_not_reported, spools_of_several_machines,
             https_hosts_answer_as_they_like,
             https_hosts_must_be_who_they_say, posts_to_private_addresses,
             killed_while_it_mails, killed_while_it_posts,
             killed_at_every_step_of_a_day, serve_reports_the_day_before,
             serve_reloads, send_beside_serve, sends_at_once,
             serve_ends_after_what_is_under_way,
             slow_lookups_keep_no_report_back, preview,
             operators_see_and_change_what_waits, today_is_not_reported,
             one_domain_first, serve_as_somebody_else, given_up,
             queue_without_room, no_room_to_write_down_a_delivery]
