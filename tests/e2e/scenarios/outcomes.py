"""What becomes of outcomes: datagrams, findings of lookups, and the spool."""

import datetime
import os
import random
import re
import shutil
import socket
import stat
import threading

import world
from cases import NONE, secure
from checks import DANE, Skipped, equal, found_in, is_temp
from daemon import Client, ask
from scenarios.disk import fill, small_disk
from sender import TLSRPT_SOCKET, restart, tells_of_sessions
from testnet import PATIENCE, wait_for
from tlsrpt import (datagram, detail, differences, outcome, parse,
                    send_datagrams)

LOST = "postern_outcomes_lost_total"
WRITTEN = "postern_outcomes_written_total"
FAILING = "postern_spool_failing"
REFUSED = 'postern_tlsrpt_refused_total{reason="%s"}'
# A queue of the kernel's is this long at least (net.unix.max_dgram_qlen).
QUEUE = 10
# By docs/spool-format.md: bytes, and what each datagram counts beside its own.
RING_AND_BATCH, KEEPING = 2 * 96 << 20, 64
KILLS = int(os.environ.get("POSTERN_KILLS", 3))


def as_expected(got, expected, what):
    problems = differences(got, expected)
    assert not problems, f"{what}: {'; '.join(problems)}"


def datagrams(bench):
    """Sessions are counted, failures stand alone, nonsense is refused."""
    strings = ["version: STSv1", "mode: enforce", "mx: *.failed.test",
               "max_age: 86400"]
    failure = datagram(
        "failed.test", "sts", policy_string=strings, mx_host=["*.failed.test"],
        failures=[{"c": 202, "s": "192.0.2.1", "n": "MX.failed.test.",
                   "h": "250-GW.failed.test\r\n250 SIZE \\ \"1\"",
                   "r": "2001:db8:0::9", "f": "caf\u00e9 \x1b[31m"}])
    with bench.daemon("datagrams") as daemon:
        send_datagrams(TLSRPT_SOCKET, *[datagram("good.test")] * 3)
        for nonsense in (b"{", b"[]", b"\0" * 100, b""):
            send_datagrams(TLSRPT_SOCKET, nonsense)
        send_datagrams(TLSRPT_SOCKET, failure, failure,
                       datagram("good.test")[:-1] + b" }")
        daemon.spool.wait_written(TLSRPT_SOCKET)

        good = daemon.spool.outcomes("good.test")
        equal(daemon.spool.sessions("good.test"), 4, "sessions")
        for line in good:
            as_expected({**line, "successful": 1}, outcome("good.test"),
                        "a success")
        failed = daemon.spool.outcomes("failed.test")
        equal(len(failed), 2, "failures")
        expected = outcome(
            "failed.test", "sts", policy_string=strings,
            mx_host=["*.failed.test"], details=[detail(
                "certificate-host-mismatch", sending_mta_ip="192.0.2.1",
                receiving_mx_hostname="mx.failed.test",
                receiving_mx_helo="GW.failed.test",
                receiving_ip="2001:db8::9",
                failure_reason_code=re.compile("caf\u00e9 [^\x1b]+"))])
        for line in failed:
            as_expected(line, expected, "a failure")
        equal(daemon.metric(REFUSED % "empty"), 1, "empty datagrams")
        equal(daemon.metric(REFUSED % "not-json"), 2, "no JSON")
        equal(daemon.metric(REFUSED % "wrong-shape"), 1, "another shape")
        found_in("level=warn event=datagram_refused", daemon.text(), "the log")
        today = datetime.datetime.now(datetime.timezone.utc)
        path = daemon.spool.files()[-1]
        assert path.stem in (today.strftime("%Y-%m-%d"), good[0]["at"][:10]), \
            f"the file is {path}"
        equal(stat.S_IMODE(path.stat().st_mode), 0o640, f"mode of {path}")
        equal(stat.S_IMODE(path.parent.stat().st_mode), 0o750,
              f"mode of {path.parent}")
        assert re.fullmatch(rb"([ -~]+\n)+", daemon.spool.raw()), \
            "something is not printable ASCII"
        equal(daemon.stop(), 0, "exit status")
        assert not TLSRPT_SOCKET.exists(), "the socket file is still there"


def socket_is_kept(bench):
    """With a socket of systemd's, what comes meanwhile waits in it."""
    path = TLSRPT_SOCKET.with_name("kept.sock")
    beside = TLSRPT_SOCKET.with_name("beside.sock")
    daemon = bench.daemon("kept", tlsrpt__listen=f"unix:{beside}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        holder.bind(str(path))
        fd = holder.fileno()
        # As systemd does it, who keeps the socket open, too.
        prefix = ["bash", "-c", f"exec 3<&{fd}; "
                  'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "bash"]
        with daemon.start(prefix, pass_fds=(fd,)):
            send_datagrams(path, datagram("first.test"))
            daemon.spool.wait("first.test")
            send_datagrams(beside, datagram("beside.test"))
            daemon.spool.wait("beside.test")
            equal(daemon.stop(), 0, "exit status")
            assert path.exists(), "systemd's socket file was removed"
            send_datagrams(path, *[datagram("stopped.test")] * QUEUE)
            daemon.start(prefix, pass_fds=(fd,))
            wait_for(lambda: daemon.spool.sessions("stopped.test") == QUEUE,
                     PATIENCE, "what came while it was stopped")
            daemon.kill()
            send_datagrams(path, *[datagram("killed.test")] * QUEUE)
            daemon.start(prefix, pass_fds=(fd,))
            wait_for(lambda: daemon.spool.sessions("killed.test") == QUEUE,
                     PATIENCE, "what came after kill -9")
            equal(daemon.stop(), 0, "exit status")
    equal(daemon.spool.sessions(None), 2 + 2 * QUEUE, "all sessions")


def started_by_a_datagram(bench):
    """systemd starts it for the first datagram, which is not lost."""
    if not shutil.which("systemd-socket-activate"):
        raise Skipped("systemd-socket-activate is not installed")
    path = TLSRPT_SOCKET.with_name("activating.sock")
    daemon = bench.daemon("activating")
    daemon.launch(prefix=["systemd-socket-activate", "--datagram", "--listen",
                          path, "--fdname=tlsrpt"])
    with daemon:
        wait_for(lambda: f"Listening on {path} as" in daemon.text(), PATIENCE,
                 "systemd's socket")
        send_datagrams(path, datagram("first.test"))
        daemon.wait_ready()
        as_expected(daemon.spool.wait("first.test")[0], outcome("first.test"),
                    "the datagram")
        equal(ask(DANE), "OK dane-only", "reply")


def socket_is_left_alone(bench):
    """Of systemd's socket beside tlsrpt.maillog nothing is read."""
    path = TLSRPT_SOCKET.with_name("left.sock")
    daemon = bench.daemon("left-alone", tlsrpt__listen=None,
                          tlsrpt__maillog=bench.log.maillog)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        holder.bind(str(path))
        fd = holder.fileno()
        prefix = ["bash", "-c", f"exec 3<&{fd}; "
                  'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=tlsrpt exec "$@"',
                  "bash"]
        with daemon.start(prefix, pass_fds=(fd,)):
            found_in("level=warn event=socket_not_used socket=tlsrpt ",
                     daemon.text(), "the log")
            send_datagrams(path, datagram("twice.test"))
            equal(ask(DANE), "OK dane-only", "reply")
            equal(daemon.stop(), 0, "exit status")
        assert path.exists(), "systemd's socket file was removed"
        holder.setblocking(False)
        equal(holder.recv(65536), datagram("twice.test"), "what waits in it")
    equal(daemon.spool.sessions("twice.test"), 0, "sessions")


def no_room_for_outcomes(bench):
    """A full disk costs outcomes, which are counted; mail goes on."""
    failure = {"c": 201, "n": "mx.full.test"}
    daemon = bench.daemon("spoolfull")
    with small_disk(daemon.spool.directory), daemon:
        send_datagrams(TLSRPT_SOCKET, datagram("before.test"))
        daemon.spool.wait("before.test")
        filler = daemon.spool.directory / "filler"
        fill(filler)
        sent = 100  # more than fits into what is left of a page
        for number in range(sent):
            send_datagrams(TLSRPT_SOCKET, datagram("full.test", failures=[
                {**failure, "f": f"number {number}"}]))
        wait_for(lambda: daemon.metric(WRITTEN) + daemon.metric(LOST) ==
                 sent + 1, PATIENCE, "all of them written or counted as lost")
        lost = daemon.metric(LOST)
        assert lost > 0, "the disk was not full"
        equal(daemon.metric(FAILING), 1, FAILING)
        equal(daemon.text().count("event=spool_not_written"), 1,
              "lines about it in the log")
        equal(ask(DANE), "OK dane-only", "reply")

        filler.unlink()
        daemon.spool.wait_written(TLSRPT_SOCKET)
        equal(daemon.spool.sessions("full.test"), sent - lost, "sessions")
        equal(daemon.spool.sessions("before.test"), 1, "what was there before")
        torn = daemon.spool.lines().count(None)
        assert torn <= 1, f"{torn} torn lines"
        equal(daemon.metric(FAILING), 0, FAILING)
        line = found_in(r"event=spool_written_again lost=(\d+)", daemon.text(),
                        "the log")
        equal(float(line[1]), lost, "lost by the log")
        equal(daemon.text().count("event=spool_not_written"), 1,
              "lines about it in the log")


class Handing(threading.Thread):
    """Hands over datagrams as fast as they are taken, and counts them."""

    def __init__(self):
        super().__init__()
        self.texts = [datagram(f"domain{n}.test") for n in range(20)]
        self.count = 0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            try:
                for text in self.texts:
                    send_datagrams(TLSRPT_SOCKET, text)
                    self.count += 1
            except OSError:
                self.ended.wait(0.01)  # between two daemons

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def killed_amid_outcomes(bench):
    """kill -9 costs what docs/spool-format.md says, and tears one line at most;
    the next start goes on."""
    with bench.daemon("spoolkilled") as daemon:
        with Handing() as sender:
            for _ in range(KILLS):
                daemon.spool.wait_written(TLSRPT_SOCKET)
                sender.ended.wait(random.uniform(0, 0.2))
                daemon.kill()
                daemon.start()
        equal(daemon.stop(), 0, "exit status")
        *whole, last = daemon.spool.raw().split(b"\n")
        equal(last, b"", "what follows the last line")
        torn = sum(parse(line) is None for line in whole)
        assert torn <= KILLS, f"{torn} torn lines of {KILLS} kills"
        lost = sender.count + KILLS - daemon.spool.sessions(None)
        most = KILLS * (RING_AND_BATCH //
                        (len(sender.texts[0]) + KEEPING) + QUEUE)
        assert 0 <= lost <= most, f"{lost} of {sender.count} lost"
        print(f"     {KILLS} kills: {lost} of {sender.count} lost, "
              f"{torn} torn lines")
        # Power may go at any byte.
        path = daemon.spool.files()[-1]
        text = whole[-1]
        with open(path, "ab") as file:
            file.write(text[:len(text) // 2])
        daemon.start()
        daemon.spool.wait_written(TLSRPT_SOCKET)
        lines = daemon.spool.raw().split(b"\n")[:-1]
        equal(lines[:len(whole)], whole, "what was there before")
        equal([parse(line) is None for line in lines[len(whole):]].count(True),
              1, "torn lines")


def fetch_failure(result, reason, **more):
    return {"policy_type": "sts", "details": [detail(
        result, 0, failure_reason_code=reason)], **more}


def dane_failure(name, result, reason, count=0, **more):
    domain = world.BY_NAME[name]
    host = domain.hosts[-1].name
    return {"policy_type": "tlsa", "policy_domain": host, "details": [detail(
        result, count, receiving_mx_hostname=host,
        failure_reason_code=reason)], "failed": count, **more}


WEB = "sts-policy-fetch-error"
CERTIFICATE = "sts-webpki-invalid"


def certificate(name, reason):
    return fetch_failure(
        CERTIFICATE, f"the certificate of mta-sts.{name}.test {reason}")


NOT_VALIDATED = "the %s records of %s cannot be validated by DNSSEC"
# {domain: (reply, the line but for what all have)}
FINDINGS = {
    "web-404": (NONE, fetch_failure(WEB, "HTTP status 404")),
    "web-redirect": (NONE, fetch_failure(WEB, "HTTP status 301")),
    "web-html": (NONE, fetch_failure(WEB, re.compile(
        "the media type is 'text/html.*"))),
    "web-oversized": (NONE, fetch_failure(WEB, re.compile(".*65536 bytes"))),
    "web-refused": (NONE, fetch_failure(WEB, re.compile(".*refused.*"))),
    "web-loopback": (NONE, fetch_failure(WEB, re.compile(
        ".*non-global addresses.*"))),
    "text-invalid": (NONE, fetch_failure("sts-policy-invalid",
                                         "invalid policy: no mode")),
    "text-bad-mx": (NONE, fetch_failure("sts-policy-invalid", re.compile(
        "invalid policy: line [34]: .*"))),
    "web-expired": (NONE, certificate("web-expired", "has expired")),
    "web-self-signed": (NONE, certificate(
        "web-self-signed", "is self-signed")),
    "web-wrong-name": (NONE, certificate(
        "web-wrong-name", "is for another name (mismatch)")),
    # by DNSSEC
    "bogus-mx-set": ("TEMP", {
        "policy_type": "tlsa", "failed": 1, "details": [detail(
            "dnssec-invalid", failure_reason_code=NOT_VALIDATED %
            ("MX", "bogus-mx-set.test"))]}),
    "dane-bogus-tlsa": ("OK dane", dane_failure(
        "dane-bogus-tlsa", "dnssec-invalid", NOT_VALIDATED %
        ("TLSA", "_25._tcp.mx.dane-bogus-tlsa.test"))),
    "dane-bogus-second": ("OK dane", dane_failure(
        "dane-bogus-second", "dnssec-invalid", NOT_VALIDATED %
        ("TLSA", "_25._tcp.mx2.dane-bogus-second.test"))),
    "both-bogus": ("TEMP", dane_failure(
        "both-bogus", "dnssec-invalid", NOT_VALIDATED %
        ("TLSA", "_25._tcp.mx.both-bogus.test"), 1)),
    "dane-unusable": ("OK dane", dane_failure(
        "dane-unusable", "tlsa-invalid",
        "SMTP knows TLSA usages 2 and 3 only (RFC 7672)",
        policy_string=["1 1 1 " + "01EF" * 16])),
    # by the policy
    "sts-unlisted": (secure("mail.sts-unlisted.test"), {
        "policy_type": "sts",
        "policy_string": ["version: STSv1", "mode: enforce",
                          "mx: mail.sts-unlisted.test", "max_age: 86400"],
        "mx_host": ["mail.sts-unlisted.test"], "details": [detail(
            "validation-failure", 0,
            receiving_mx_hostname="mx.sts-unlisted.test",
            failure_reason_code="mx-host-mismatch")]}),
}
# Nothing is wrong; or wants no reports; or it cannot be known whether it does.
NO_FINDINGS = ("none", DANE.removesuffix(".test"), "sts-enforce", "both",
               "web-quiet", "bogus-mx", "sts-none")


def findings(bench):
    """What only a lookup sees is in the spool, once, and word for word."""
    with bench.daemon("findings") as daemon, Client() as client:
        for name in NO_FINDINGS:
            client.ask(f"{name}.test")
        for name, (expected, _) in FINDINGS.items():
            for _ in range(2):
                reply = client.ask(f"{name}.test")
                if expected == "TEMP":
                    is_temp(reply, name)
                else:
                    equal(reply, expected, name)
        problems = []
        for name, (_, line) in FINDINGS.items():
            domain = f"{name}.test"
            wanted = outcome(domain, source="policy",
                             **{"failed": 0, **line})
            got = daemon.spool.wait(domain)
            problems += [f"{domain}: {problem}"
                         for problem in differences(got[0], wanted)]
            if len(got) != 1:
                problems.append(f"{domain}: {len(got)} lines: {got}")
        assert not problems, "\n     ".join(["", *problems])
        for name in NO_FINDINGS:
            equal(daemon.spool.outcomes(f"{name}.test"), [], name)


def deferred_for_a_policy(bench):
    """A slow policy file, for which mail was deferred, is a failed session."""
    domain = "web-slow.test"
    with bench.daemon("slowpolicy", policy__answer_timeout="3s",
                      sts__fetch_timeout="5s") as daemon:
        reply = ask(domain)
        is_temp(reply, domain)
        assert "policy" in reply, f"{domain} waits for something else: {reply}"
        got = daemon.spool.wait(domain)
        equal(len(got), 1, "lines")
        as_expected(got[0], outcome(
            domain, "sts", source="policy", failed=1, details=[detail(
                WEB, failure_reason_code=re.compile(".*tim.*"))]), domain)
        equal(ask(domain), NONE, "the second time")


def is_told_by_its_log(bench, name):
    """Through a restart of the daemon."""
    domain = "sts-wrong-cert.test"
    with bench.daemon(name, tlsrpt__listen=None,
                      tlsrpt__maillog=bench.log.maillog) as daemon:
        for number in (1, 2):
            bench.send_and_wait(domain)
            daemon.stop()  # the log is read to its end
            got = daemon.spool.outcomes(domain, "log")
            equal([line["failed"] for line in got], [1] * 2 * number,
                  "sessions with its two addresses")
            daemon.start()  # from there on


def told_by_a_log_file(bench):
    """An older Postfix's own log, whatever it calls itself in it."""
    if tells_of_sessions():
        raise Skipped("this machine's Postfix tells of its sessions")
    is_told_by_its_log(bench, "log-file")
    restart("syslog_name = mx-out")
    try:
        is_told_by_its_log(bench, "log-file-of-mx-out")
        found_in(r"mx-out/smtp\[\d+\]: .*sts-wrong-cert", bench.log.text(),
                 "Postfix's log")
    finally:
        restart("syslog_name = postfix")


SCENARIOS = [told_by_a_log_file, datagrams, socket_is_kept,
             socket_is_left_alone, started_by_a_datagram,
             no_room_for_outcomes, killed_amid_outcomes, findings,
             deferred_for_a_policy]
