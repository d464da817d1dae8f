"""The milter: policies are known before smtp(8) asks, and mail always flows."""

import contextlib
import re
import smtplib
import socket
import struct
import subprocess

import sender
import world
from cases import secure
from checks import DANE, STS, equal, found_in
from daemon import ask
from sender import SMTPD, SOCKET
from testnet import PATIENCE, wait_for

MILTER = SOCKET.with_name("milter.sock")
COMMAND_TIMEOUT = 2  # seconds that smtpd waits for an answer, by main.cf
STARTED = 'postern_warm_ups_total{result="started"}'
LOOKUPS = "postern_lookup_seconds_count"
FROM_MEMORY = "postern_answers_from_memory_total"
GARBAGE = ["<@>", "<a@>", "<@b>", "<a@b@c>", "<a@..>", "<a@.test>", "<\"\">",
           "<a@" + "x" * 300 + ".test>", "<a@[192.0.2.100]>", "<a@[::1]>",
           "<a@[IPv6:2001:db8::100]>", "<a@unix:/x>", "<a@b:99999>",
           "<" + "a" * 2000 + "@b.test>", "<a b@c.test>", "a{rcpt_host}@b",
           "<\\@b.test>", "<a@-b-.test>", "<a@b_c.test>", "<a@\x7f.test>"]


def with_milter(bench, name):
    """A Daemon with a milter; Postfix has the line that setup shows.

    Each smtpd(8) keeps the main.cf of its start, so none of before goes on.
    """
    daemon = bench.daemon(name, milter__listen=f"unix:{MILTER}")
    subprocess.run(["postconf", "-X", "smtpd_milters"], check=True)
    advice = daemon.command("setup").stdout
    line = found_in("(?m)^ +(smtpd_milters = .*)$", advice, "setup")[1]
    sender.restart(line)
    return daemon


class Session:
    """An SMTP session with Postfix's smtpd."""

    def __init__(self):
        self.smtp = smtplib.SMTP(*SMTPD, timeout=30)
        self.expect(250, *self.smtp.ehlo("client.test"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.smtp.close()

    def expect(self, wanted, code, text):
        assert code == wanted, f"expected {wanted}, got {code} {text!r}"

    def envelope(self, recipient):
        self.expect(250, *self.smtp.mail("sender@" + world.SENDER_DOMAIN))
        self.expect(250, *self.smtp.rcpt(recipient))
        self.expect(354, *self.smtp.docmd("DATA"))

    def message(self):
        self.smtp.send(b"Subject: test\r\n\r\nHello\r\n.\r\n")
        self.expect(250, *self.smtp.getreply())


def submit(bench, recipient):
    """One message, which is accepted; smtpd's warnings meanwhile.

    The log is written by another process: the session's last line says that
    all of them are there.
    """
    before = len(bench.log.text())

    def lines():
        return bench.log.text()[before:]
    with Session() as session:
        session.envelope(recipient)
        session.message()
    wait_for(lambda: "]: disconnect from " in lines(), PATIENCE,
             "the log of the session")
    return re.findall(r"smtpd\[\d+\]: warning: (.*)", lines())


def warm_up(bench):
    """The lookup runs at RCPT; what smtp(8) asks is in memory."""
    with with_milter(bench, "warm") as daemon, Session() as session:
        recipients = []
        for number, domain in enumerate((DANE, STS), start=1):
            recipients.append(bench.recipient(domain))
            session.envelope(recipients[-1])
            wait_for(lambda: daemon.metric(STARTED) == number, PATIENCE,
                     f"the warm-up of {domain}")
            wait_for(lambda: daemon.metric("postern_lookups_in_flight") == 0,
                     PATIENCE, f"the lookup of {domain}")
            equal(daemon.metric(FROM_MEMORY), number - 1, "hits before DATA")
            session.message()
            delivery = bench.wait(recipients[-1])
            equal((delivery.status, delivery.tls), ("sent", "Verified"),
                  f"mail to {domain}")
            equal(daemon.metric(LOOKUPS), number, "lookups")
            equal(daemon.metric(FROM_MEMORY), number, "hits")
        # mail that smtp(8) never sees is no reason for a lookup
        session.envelope("user@" + world.SENDER_DOMAIN)
        session.message()
        session.envelope(recipients[0])
        session.message()
        wait_for(lambda: daemon.metric(
            'postern_warm_ups_total{result="known"}') == 1, PATIENCE,
            "the recipient that is known")
        equal(daemon.metric(STARTED), 2, STARTED)


def mail_flows_without_the_milter(bench):
    """kill -9, then SIGSTOP: smtpd accepts; smtp(8) delivers afterwards."""
    recipients = {how: bench.recipient("dane-ta.test")
                  for how in ("killed", "stopped")}
    with with_milter(bench, "nomilter") as daemon:
        daemon.kill()
        equal(submit(bench, recipients["killed"]),
              ["connect to Milter service unix:postern/milter.sock: "
               "Connection refused"], "of the milter that was killed")
        equal(bench.wait(recipients["killed"]).status, "deferred", "mail")
        daemon.start()
        # It waits for the first answer, as long as main.cf says, and then for
        # none.
        milters = subprocess.run(["postconf", "-h", "smtpd_milters"],
                                 check=True, stdout=subprocess.PIPE, text=True)
        found_in(rf"command_timeout *= *{COMMAND_TIMEOUT}s\b", milters.stdout,
                 "smtpd_milters")
        with daemon.stopped():
            told = submit(bench, recipients["stopped"])
        equal([line.rpartition(": ")[2] for line in told],
              ["Connection timed out", "read error in initial handshake"],
              f"ends of {told}")
        subprocess.run(["postqueue", "-f"], check=True)
        for how, recipient in recipients.items():
            wait_for(lambda: bench.log.delivery(recipient, "sent"), PATIENCE,
                     f"the mail of the daemon {how}")


def packet(command, data=b""):
    return struct.pack("!I", len(data) + 1) + command + data


def milter_garbage(bench):
    """Recipients and bytes of any kind do no harm."""
    with with_milter(bench, "garbage") as daemon:
        with Session() as session:
            for recipient in GARBAGE:
                session.smtp.docmd("RSET")
                session.smtp.mail("sender@" + world.SENDER_DOMAIN)
                session.smtp.docmd("RCPT", "TO:" + recipient)
                session.smtp.rcpt("user@" + world.SENDER_DOMAIN)
                session.expect(354, *session.smtp.docmd("DATA"))
                session.message()
        negotiate = packet(b"O", struct.pack("!III", 6, 0x1ff, 0x1fffff))
        next_hops = [b"", b"a" * 5000, b"\xff\xfe.test", b"[", b"]:", b"a b",
                     b"[mx.none.test]:smtp", b", , ,", b"a," * 2000,
                     b"\r\n.test"]
        for bytes_ in (
                b"nonsense", bytes(100), packet(b"R", b"<a@b>\0"),
                b"\xff\xff\xff\xffO", packet(b"X"), negotiate + bytes(9),
                negotiate + packet(b"D", b"R{rcpt_host}"),
                *(negotiate + packet(b"D", b"R{rcpt_host}\0" + host +
                                     b"\0{rcpt_mailer}\0smtp\0") +
                  packet(b"R", b"<a@b>\0") + packet(b"T") + packet(b"Q")
                  for host in next_hops)):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(MILTER))
            with client, contextlib.suppress(OSError):
                client.sendall(bytes_)
        daemon.check_alive()
        started = daemon.metric(STARTED)
        submit(bench, bench.recipient("sts-two.test"))
        wait_for(lambda: daemon.metric(STARTED) > started, PATIENCE,
                 "a warm-up after all that")
        equal(ask("sts-two.test"), secure("mx1.sts-two.test",
                                          "mx2.sts-two.test"), "reply")
        assert not re.search("level=error", daemon.text()), daemon.text()


SCENARIOS = [warm_up, mail_flows_without_the_milter, milter_garbage]
