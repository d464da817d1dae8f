"""Reports: from sessions to mailboxes and https hosts."""

import contextlib
import datetime
import sqlite3
import time

import debian13
import world
from checks import Skipped, equal, found_in
from daemon import OUR_INTERNET
from newer_postfix import ROOT
from reporting import (A, BY_MAIL, CONTACT, FINE, HTTPS, LIMIT, MAILBOX,
                       ORGANIZATION, SENDER, SUBMITTER, WAITS, DkimKeys,
                       HttpsHosts, Mail, Reporter, Sendmail, make_it_yesterday,
                       policy_of, publish, reported_day, verify_signatures)
from sessions import DatagramSessions, Session, fails
from testnet import wait_for
from tlsrpt import detail, outcome

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
                        report__queue_directory=spool.directory / "reports",
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
    found_in(f"{other.spool.directory}/outcomes is not there",
             reporter.sends(WAITS).stderr, "send")
    equal(sendmail.mails(), [], "mails")
    away.rename(other.spool.directory)
    reporter.sends(FINE)
    mail, = sendmail.mails()
    equal(policy_of(Mail.read(mail, A).report)["summary"],
          {"total-successful-session-count": 2,
           "total-failure-session-count": 1}, "sessions")


def now():
    """In whole seconds, as the queue has it."""
    return int(time.time())


ANSWERS = ("fine", "moved", "busy", "endless", "endless-failure")


def https_hosts_answer_as_they_like(bench):
    """201 is enough; no redirect is followed; Retry-After counts; an answer
    without an end is cut off."""
    publish(bench, {f"{name}.reports.test": f"{HTTPS}/{name}"
                    for name in ANSWERS})
    reporter = Reporter(bench, "answers").add(
        *(outcome(f"{name}.reports.test") for name in ANSWERS))
    with HttpsHosts(bench) as hosts:
        started = now()
        reporter.sends(WAITS)
        ended = now()
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
                again = datetime.datetime.fromisoformat(
                    row["next"].replace("Z", "+00:00")).timestamp()
                # a tenth is for those that failed together
                least, most = (7200, 7200) if domain == "busy" else (300, 330)
                assert started + least <= again <= ended + most, \
                    f"{domain}: {row}, tried from {started} to {ended}"
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


SCENARIOS = [reports_go_the_whole_way, reports_reach_those_whose_tls_fails,
             own_mails_are_not_reported, spools_of_several_machines,
             https_hosts_answer_as_they_like, https_hosts_must_be_who_they_say,
             posts_to_private_addresses]
