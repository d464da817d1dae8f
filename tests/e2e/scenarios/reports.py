"""Reports: from sessions to mailboxes and https hosts; what happens between."""

import contextlib
import datetime
import signal
import sqlite3

import debian13
import world
from checks import equal, found_in
from daemon import OUR_INTERNET
from reporting import (CONTACT, FINE, LIMIT, MAILBOX, ORGANIZATION, RUA,
                       SENDER, SUBMITTER, USAGE, WAITS, DkimKeys, HttpsHosts,
                       Mail, Reporter, Sendmail, make_it_yesterday, publish,
                       reported_day, verify_signatures)
from sessions import DatagramSessions, Session, fails
from testnet import wait_for
from tlsrpt import detail, outcome

HTTPS = f"https://{RUA}"
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
                  receiving_mx_helo=f"gateway.{host.name}", receiving_ip=theirs)
           for ours, theirs in zip(world.OUR_ADDRESSES, host.address)
           ] if failed else [], "details")


def mails_that_arrived(bench, count):
    """{domain: (the receiver's record, the mail)} of reports at MAILBOX."""
    def all_of_them():
        records = bench.log.received(MAILBOX)
        return len(records) >= count and records
    records = wait_for(all_of_them, LIMIT, f"{count} mails to {MAILBOX}")
    equal(len(records), count, "mails")
    found = {}
    for record in records:
        raw = (bench.internet.mail / record["file"]).read_bytes()
        domain = found_in(rb"(?mi)^TLS-Report-Domain: (\S+)\r$".decode(),
                          raw.decode(), "the mail")[1]
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
    with bench.daemon("told-policies"), HttpsHosts(bench) as hosts:
        sent = reporter.sends(FINE)
        found_in("4 reports delivered, 0 waiting", sent.stdout, "send")
        arrived = mails_that_arrived(bench, 2)
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
        found_in("4 reports delivered", reporter.sends(FINE).stdout, "again")
        equal(hosts.posts, [], "posts")


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
KILLS = {"unread": (1,), "read": (1,), "taken": (2,), "ended": (1, 2)}
A = "a.reports.test"
BY_MAIL = f"mailto:{MAILBOX}"


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
    for mode, counts in KILLS.items():
        for by in ("send", "serve"):
            sendmail = Sendmail(bench, f"{mode}-{by}")
            reporter = Reporter(
                bench, f"kill-{mode}-{by}", report__sendmail=sendmail.path,
                **keys.settings()).add(outcome(A))
            sendmail.does("refuse")
            reporter.sends(WAITS)
            report_id = reporter.delivery(A)["report-id"]
            sendmail.does(mode)
            if by == "send":
                reporter.process = reporter.begin()
            else:
                retried = reporter.command("retry", report_id)
                equal(retried.returncode, FINE, retried.stderr)
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
            equal(reporter.delivery(A)["attempts"], 2, "attempts")


def killed_while_it_posts(bench):
    """kill -9 amid a POST: it is posted again, the same; after one: it is not."""
    publish(bench, {A: f"{HTTPS}/stall"})
    for by in ("send", "serve"):
        reporter = Reporter(bench, f"kill-post-{by}").add(outcome(A))
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
            equal(hosts.posts[0].report()["report-id"], row["report-id"], "id")


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
    """kill -9 while a large day is read, queued and posted: each report arrives,
    a repeat is the same, and there are as many as were under way."""
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
    # Two at a time go to one host, and it was killed twice meanwhile.
    assert repeats <= 2 * 2, f"{repeats} repeats"


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
                ("postern_report_last_closed_day_seconds",
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
        found_in("2 reports delivered, 0 waiting", sent.stdout, "send")
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
    with HttpsHosts(bench) as hosts, reporter.start():
        assert hosts.stalled.wait(LIMIT), "no post"
        reporter.process.terminate()
        wait_for(lambda: "event=stopping under_way=1" in reporter.text(),
                 LIMIT, "the signal")
        hosts.let_go.set()
        equal(reporter.process.wait(LIMIT), 0, "exit status")
        equal(reporter.delivery(A)["state"], "delivered", "state")
        equal(hosts.paths(), ["/stall"], "posts")


SCENARIOS = [reports_go_the_whole_way, https_hosts_answer_as_they_like,
             https_hosts_must_be_who_they_say, posts_to_private_addresses,
             killed_while_it_mails, killed_while_it_posts,
             killed_at_every_step_of_a_day, serve_reports_the_day_before,
             serve_reloads, send_beside_serve, sends_at_once,
             serve_ends_after_what_is_under_way]
