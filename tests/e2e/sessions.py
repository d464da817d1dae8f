"""Sessions of a Postfix, and the lines of the spool they become: of Debian 13's
by datagrams, of an older one by its log."""

import re
from dataclasses import dataclass, field

import sender
import world
from checks import equal
from journal import Journal, JournalLog
from maillog import MailLog
from newer_postfix import MAILLOG, SOCKET, TLSRPT_SOCKET, NewerPostfix
from testnet import PATIENCE, Internet, wait_for
from tlsrpt import detail, differences, outcome

HANDSHAKE = ("validation-failure", "tls-handshake-failure")
SELF_SIGNED = ("validation-failure", "self-signed_certificate")


@dataclass
class Session:
    """A message to user@<domain>.test, and what the spool is to have of it.

    policy: by which the sessions went: tlsa, sts or no-policy-found.
    fails:  {host: (result type, reason or None)}, in the order in which they
            are tried; a session with each address, IPv4 first, fails.
    once:   only the one with the first address: then mail goes out.
    good:   the host with which a session goes well; None: there is none, or
            Postfix does not tell.
    status: of the message.
    """

    domain: str
    policy: str
    good: str = None
    fails: dict = field(default_factory=dict)
    once: bool = False
    status: str = "sent"

    def outcomes(self):
        """The expected lines, but for `at`, in their order."""
        domain = world.BY_NAME[self.domain]
        lines = []
        for name, (result, reason) in self.fails.items():
            host = world.HOSTS[world.absolute(name, domain.fqdn)]
            for family in (0,) if self.once else (0, 1):
                lines.append(self.outcome(domain, host, [detail(
                    result, sending_mta_ip=world.OUR_ADDRESSES[family],
                    receiving_mx_hostname=host.name,
                    receiving_mx_helo=f"gateway.{host.name}",
                    receiving_ip=host.address[family],
                    **({"failure_reason_code": reason} if reason else {}))]))
        if self.good:
            host = world.HOSTS[world.absolute(self.good, domain.fqdn)]
            lines.append(self.outcome(domain, host, []))
        return lines

    def outcome(self, domain, host, details):
        members = {}
        if self.policy == "tlsa":
            data = Internet.running().certificates.tlsa
            members = {"policy_domain": host.name, "policy_string": sorted(
                data(kind).upper() for kind in host.tlsa)}
        elif self.policy == "sts":
            # A reply to Postfix cannot hold braces.
            members = {"policy_string": [
                line for line in domain.policy_text().splitlines()
                if not re.search("[{}]", line)],
                "mx_host": list(domain.sts.mx)}
        return outcome(domain.fqdn, self.policy, details=details,
                       record=domain.tlsrpt, **members)


def fails(domain, policy, *failure, **options):
    """A message that is deferred, as all sessions with `mx` fail."""
    return Session(domain, policy, fails={"mx": failure}, status="deferred",
                   **options)


NONE = "no-policy-found"
SESSIONS = [
    # success
    Session("dane-match", "tlsa", "mx"),
    Session("dane-ta", "tlsa", "mx"),
    Session("dane-ipv6", "tlsa", "mx"),
    Session("dane-cname", "tlsa", "mx.hosting"),
    Session("both", "tlsa", "mx"),
    Session("sts-enforce", "sts", "mx"),
    Session("sts-wildcard", "sts", "mx"),
    Session("bücher", "sts", "mx"),
    Session("text-hostile", "sts", "mx"),
    Session("both-partial", "sts", "mx1"),
    Session("none", NONE, "mx"),
    Session("none-selfsigned", NONE, "mx"),  # nobody demands more
    Session("sts-testing", NONE, "mx"),
    # starttls-not-supported
    fails("sts-plain", "sts", "starttls-not-supported", None),
    fails("dane-plain", "tlsa", "starttls-not-supported", None),
    # certificates
    fails("sts-wrong-cert", "sts", "certificate-host-mismatch", None),
    fails("sts-expired-cert", "sts", "certificate-expired", None),
    fails("sts-selfsigned-cert", "sts", *SELF_SIGNED),
    fails("dane-mismatch", "tlsa", "certificate-not-trusted", None),
    # the handshake
    fails("sts-broken", "sts", *HANDSHAKE),
    fails("none-broken", NONE, *HANDSHAKE),
    # tlsa-invalid
    Session("dane-malformed", "tlsa", once=True,
            fails={"mx": ("tlsa-invalid", "all-TLSA-records-unusable")}),
    # the next host
    Session("sts-two", "sts", "mx2",
            {"mx1": ("certificate-host-mismatch", None)}),
    Session("dane-two", "tlsa", "mx2",
            {"mx1": ("certificate-not-trusted", None)}),
    # nothing: no TLS where nobody demands it; a host outside the policy; no
    # record at _smtp._tls
    Session("none-plain", NONE),
    Session("sts-unlisted", "sts", status="deferred"),
    Session("none-quiet", NONE),
]
# By tlsproxy(8), with smtp_tls_connection_reuse.
BY_TLSPROXY = [
    Session("dane-key", "tlsa", "mx"),
    Session("sts-signed", "sts", "mx"),
    Session("none-implicit", NONE, "none-implicit.test"),
    fails("sts-wrong-cert", "sts", "certificate-host-mismatch", None),
    fails("sts-broken", "sts", *HANDSHAKE),
]


# By the log: what it gives as reasons, and what else it tells of a session.
LOGGED_REASONS = {
    (policy, result): {"failure-reason-code": reason}
    for policy, result, reason in (
        ("sts", "certificate-host-mismatch", "hostname_mismatch"),
        ("sts", "certificate-expired", "certificate_has_expired"),
        ("tlsa", "certificate-not-trusted", "no_matching_DANE_TLSA_records"))}
TOLD_OTHERWISE = {
    # It does not keep to the policy's hosts, but to their names.
    "sts-unlisted": fails("sts-unlisted", "sts",
                          "certificate-host-mismatch", None),
}


class Sessions:
    """Sends messages through a Postfix, with a daemon beside it."""

    source = None  # of the lines that are looked at

    def __init__(self, daemon, log):
        self.daemon = daemon
        self.log = log
        self.sent = 0

    def __enter__(self):
        self.daemon.start()
        return self

    def __exit__(self, *_):
        self.daemon.stop()

    def submit(self, recipient):
        """Hands a message to Postfix."""
        raise NotImplementedError

    def wait_written(self):
        """All that Postfix has told of is in the spool."""
        raise NotImplementedError

    def expected(self, session):
        return session.outcomes()

    def run(self, sessions):
        """The problems with each; all are sent at once."""
        before = len(self.daemon.spool.lines())
        recipients = [self.send(session) for session in sessions]
        deliveries = [self.wait(recipient) for recipient in recipients]
        self.wait_written()
        lines = [line for line in self.daemon.spool.lines()[before:]
                 if line and line["source"] == self.source]
        return [self.problems(session, delivery, lines)
                for session, delivery in zip(sessions, deliveries)]

    def send(self, session):
        self.sent += 1
        recipient = f"user{self.sent}@{session.domain}.test"
        self.submit(recipient)
        return recipient

    def wait(self, recipient):
        return wait_for(lambda: self.log.delivery(recipient), PATIENCE,
                        f"delivery to {recipient}")

    def problems(self, session, delivery, lines):
        got = [line for line in lines
               if line["domain"] == world.BY_NAME[session.domain].fqdn]
        expected = self.expected(session)
        problems = []
        if delivery.status != session.status:
            problems.append(f"delivery: expected {session.status}")
        if len(got) != len(expected):
            problems.append(f"expected {len(expected)} lines, got {got}")
        for one, other in zip(sorted(got, key=place), sorted(expected,
                                                             key=place)):
            problems += differences(one, other)
        if problems:
            problems.append(f"Postfix says: {delivery}")
        return problems


def place(line):
    """For lines of one domain, whose order is no promise."""
    return [(one.get("receiving-mx-hostname", ""), one.get("receiving-ip", ""))
            for one in line["failure-details"]]


class DatagramSessions(Sessions):
    """By Debian 13's Postfix, which tells of them."""

    source = "postfix"

    def __init__(self, bench, root, name="debian13"):
        internet = bench.internet
        self.postfix = NewerPostfix(root, internet.log,
                                    internet.certificates.ca).start()
        daemon = bench.daemon(
            name, policy__listen=f"unix:{SOCKET}",
            tlsrpt__listen=f"unix:{TLSRPT_SOCKET}",
            policy__socket_mode="0666")  # the group's number differs in there
        super().__init__(daemon, MailLog(internet.log, MAILLOG))

    def submit(self, recipient):
        self.postfix.send(recipient)

    def wait_written(self):
        self.daemon.spool.wait_written(TLSRPT_SOCKET)


class LogSessions(Sessions):
    """By the machine's Postfix before 3.10; its log tells of them."""

    source = "log"

    def __init__(self, bench):
        self.log_folder = bench.internet.log
        self.journal = Journal(self.log_folder)
        daemon = bench.daemon("log-sessions", tlsrpt__listen=None,
                              tlsrpt__maillog="journal")
        super().__init__(daemon, JournalLog(self.log_folder))

    def __enter__(self):
        self.journal.start()
        sender.restart("maillog_file =", "smtp_address_preference = ipv4")
        return super().__enter__()

    def __exit__(self, *_):
        super().__exit__()
        sender.restart(f"maillog_file = {self.log_folder}/maillog",
                       "smtp_address_preference = any")
        self.journal.stop()

    def submit(self, recipient):
        sender.send(recipient)

    def wait_written(self):
        # It reads the log to its end.
        equal(self.daemon.stop(), 0, "exit status of the daemon")

    def expected(self, session):
        told = TOLD_OTHERWISE.get(session.domain, session)
        return [self.as_logged(line) for line in told.outcomes()]

    @staticmethod
    def as_logged(line):
        """With what the log does not tell, and tells beyond a datagram
        (docs/maillog.md)."""
        details = [
            {**{key: value for key, value in one.items()
                if key not in ("sending-mta-ip", "receiving-mx-helo")},
             **LOGGED_REASONS.get((line["policy-type"], one["result-type"]),
                                  {})}
            for one in line["failure-details"]]
        return {**line, "source": "log", "failure-details": details}
