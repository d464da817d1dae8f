"""Sessions of Debian 13's Postfix, and the lines of the spool they become."""

import re
from dataclasses import dataclass, field

import world
from maillog import MailLog
from newer_postfix import MAILLOG, SOCKET, TLSRPT_SOCKET, NewerPostfix
from testnet import Internet, wait_for
from tlsrpt import detail, differences, outcome

MAIL_LIMIT = 30  # seconds until Postfix has tried a message
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
        return outcome(domain.fqdn, self.policy, details=details, **members)


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


class Sessions:
    """Sends messages through Debian 13's Postfix, with a daemon beside it."""

    def __init__(self, bench, root):
        internet = bench.internet
        self.postfix = NewerPostfix(root, internet.log,
                                    internet.certificates.ca).start()
        self.log = MailLog(internet.log, MAILLOG)
        self.daemon = bench.daemon(
            "debian13", policy__listen=f"unix:{SOCKET}",
            tlsrpt__listen=f"unix:{TLSRPT_SOCKET}",
            policy__socket_mode="0666")  # the group's number differs in there
        self.sent = 0

    def __enter__(self):
        self.daemon.start()
        return self

    def __exit__(self, *_):
        self.daemon.stop()

    def run(self, sessions):
        """The problems with each; all are sent at once."""
        before = len(self.daemon.spool.lines())
        recipients = [self.send(session) for session in sessions]
        deliveries = [self.wait(recipient) for recipient in recipients]
        self.daemon.spool.wait_written(TLSRPT_SOCKET)
        lines = [line for line in self.daemon.spool.lines()[before:]
                 if line and line["source"] == "postfix"]
        return [self.problems(session, delivery, lines)
                for session, delivery in zip(sessions, deliveries)]

    def send(self, session):
        self.sent += 1
        recipient = f"user{self.sent}@{session.domain}.test"
        self.postfix.send(recipient)
        return recipient

    def wait(self, recipient):
        return wait_for(lambda: self.log.delivery(recipient), MAIL_LIMIT,
                        f"delivery to {recipient}")

    def problems(self, session, delivery, lines):
        got = [line for line in lines
               if line["domain"] == world.BY_NAME[session.domain].fqdn]
        expected = session.outcomes()
        problems = []
        if delivery.status != session.status:
            problems.append(f"delivery: expected {session.status}")
        if len(got) != len(expected):
            problems.append(f"expected {len(expected)} lines, got {got}")
        for one, other in zip(got, expected):
            problems += differences(one, other)
        if problems:
            problems.append(f"Postfix says: {delivery}")
        return problems
