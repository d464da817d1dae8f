"""The cases that stop, kill or reconfigure the daemon or the resolver.

Each scenario is a function of a Bench (see run) and starts without a daemon;
it raises AssertionError, or TimeoutError, if something is not as it should be.
"""

import pathlib
import re
import socket
import ssl
import subprocess
import threading
import time

import world
from cases import NONE, secure
from daemon import Client, ask
from sender import SOCKET
from testnet import wait_for

DANE = "dane-match.test"
STS = "sts-enforce.test"
OTHER_RESOLVER = "127.0.0.2"
TCP_SOCKET = "127.0.0.1:8461"
RECOVERY = 30  # seconds, for what the daemon rechecks by itself


def equal(got, expected, what):
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"


def is_temp(reply, what):
    """TEMP with a reason in words."""
    assert re.fullmatch(r"TEMP \S+( \S+){2,}", reply), \
        f"{what}: expected TEMP and a reason in words, got {reply!r}"


def recovered(domain):
    """Whether the DANE answer is back; until then it is TEMP, nothing less."""
    reply = ask(domain)
    assert reply == "OK dane-only" or reply.startswith("TEMP "), \
        f"weaker than TEMP while the resolver comes back: {reply!r}"
    return reply == "OK dane-only"


def postmap_agrees(bench):
    """Postfix's own client reads the replies as we do."""
    with bench.daemon("postmap"):
        for key, expected in ((STS, secure("mx.sts-enforce.test")[3:] + "\n"),
                              ("none.test", "")):
            found = subprocess.run(
                ["postmap", "-q", key, f"socketmap:unix:{SOCKET}:policy"],
                stdout=subprocess.PIPE, text=True)
            equal(found.stdout, expected, f"postmap -q {key}")
            equal(found.returncode, 0 if expected else 1, "exit status")


def hostile_text_adds_nothing(bench):
    """Nothing of a policy's extension lines is outside of braces."""
    with bench.daemon("hostile"):
        reply = ask("text-hostile.test", "policy-tlsrpt")
        outside = re.sub(r"\{[^{}]*\}", "", reply)
        assert "policy_domain=text-hostile.test" in outside, reply
        assert "evil" not in outside and "}" not in outside, reply


def slow_policy_host(bench):
    """Holds mail once at most, and never longer than answer_timeout."""
    domain = world.BY_NAME["web-slow"].fqdn
    with bench.daemon("slow", policy__answer_timeout="2s"):
        started = time.monotonic()
        first = ask(domain)
        seconds = time.monotonic() - started
        assert seconds < 3, f"first answer after {seconds:.1f} s"
        if first != NONE:
            is_temp(first, "first answer")
        started = time.monotonic()
        equal(ask(domain), NONE, "second answer")
        assert time.monotonic() - started < 1, "second answer was slow"
        delivery = bench.send_and_wait(domain)
        equal(delivery.status, "sent", "delivery")


def endless_answer(bench):
    """A chunk that never ends costs neither memory nor anybody's answer."""
    host = "mta-sts.web-refused.test"
    certificates = bench.internet.certificates
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path(host, "good"), certificates.key)
    with socket.create_server((world.NO_POLICY_HOST[0], 443)) as listener:
        threading.Thread(target=send_chunk_for_ever, args=(listener, context),
                         daemon=True).start()
        with bench.daemon("endless") as daemon:
            equal(ask("web-refused.test"), NONE, "reply")
            assert "sts-policy-fetch-error" in daemon.text(), "not logged"
            status = pathlib.Path("/proc", str(daemon.process.pid), "status")
            peak = re.search(r"VmHWM:\s+(\d+)", status.read_text())
            assert int(peak[1]) < 500_000, f"peak memory {peak[1]} kB"


def send_chunk_for_ever(listener, context):
    """Answers one request with a chunk extension that has no end."""
    try:
        with context.wrap_socket(listener.accept()[0],
                                 server_side=True) as client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n1")
            while True:
                client.sendall(b";a=b" * 4096)
    except OSError:
        pass  # the daemon has had enough


def private_policy_host(bench):
    """Without sts.allow_private a policy host on 192.0.2.80 is refused."""
    with bench.daemon("private", sts__allow_private=None) as daemon:
        equal(ask(STS), NONE, "reply")
        delivery = bench.send_and_wait("sts-wrong-cert.test")
        equal(delivery.status, "sent", "delivery")
        assert "sts.allow_private" in daemon.text(), "no advice in the log"


def kill_and_restart(bench):
    """kill -9 needs no cleaning up; mail waits meanwhile, and then leaves."""
    with bench.daemon("killed") as daemon:
        equal(ask(DANE), "OK dane-only", "before")
        daemon.kill()
        assert SOCKET.exists(), "kill -9 cannot have removed the socket"
        delivery = bench.send_and_wait(DANE)
        equal(delivery.status, "deferred", "delivery without a daemon")
        daemon.start()
        equal(ask(DANE), "OK dane-only", "after")
        subprocess.run(["postqueue", "-f"], check=True)
        wait_for(lambda: bench.log.delivery(bench.last, "sent"), 15,
                 "the deferred mail")


def terminate(bench):
    """SIGTERM: exit status 0, and the socket file is gone."""
    with bench.daemon("terminated") as daemon:
        equal(ask("none.test"), NONE, "reply")
        equal(daemon.stop(), 0, "exit status")
        assert not SOCKET.exists(), "the socket file is still there"


def terminate_while_asked(bench):
    """SIGTERM lets an answer in flight finish; then nothing is left."""
    with bench.daemon("asked", policy__answer_timeout="3s") as daemon:
        with Client() as client:
            client.send_question(world.BY_NAME["web-slow"].fqdn)
            wait_for(fetching, 2, "the policy fetch")
            daemon.process.terminate()
            reply = client.reply()
            assert reply, "no answer after SIGTERM"
        equal(daemon.process.wait(10), 0, "exit status")
        assert not SOCKET.exists(), "the socket file is still there"


def fetching():
    """Whether a connection to port 443 (01BB) is established (01)."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in
             pathlib.Path("/proc/net", name).read_text().splitlines()]
    return any(f[2].endswith(":01BB") and f[3] == "01" for f in lines)


def malformed_input(bench):
    """Closes that connection only; long and binary keys are NOTFOUND."""
    with bench.daemon("malformed"), Client() as other:
        for data in (b"x", b"5x", b"05:policy,", b"6:policy ",
                     b"99999:policy ", b"-1:,", b"4:a b.,x"):
            with Client() as client:
                client.send(data + b"," * 10)
                while (reply := client.reply()) is not None:
                    assert reply.startswith("PERM "), reply
        for key in (300 * "a" + ".test", "a\0b.test", "\x7f\x01", " "):
            other.send_question(key)
            equal(other.reply(), NONE, f"key {key!r}")
        other.send_question(DANE)
        equal(other.reply(), "OK dane-only", "the other connection")


def tcp_socket(bench):
    """Serves unix and TCP sockets side by side."""
    with bench.daemon("tcp", policy__listen=[f"unix:{SOCKET}",
                                             f"inet:{TCP_SOCKET}"]):
        equal(ask(DANE), "OK dane-only", "unix socket")
        found = subprocess.run(
            ["postmap", "-q", DANE, f"socketmap:inet:{TCP_SOCKET}:policy"],
            stdout=subprocess.PIPE, text=True)
        equal(found.stdout, "dane-only\n", "TCP socket")


def socket_in_use(bench):
    """A second daemon on a live socket refuses; the first one goes on."""
    with bench.daemon("first"):
        second = bench.daemon("second")
        try:
            second.start()
        except RuntimeError:
            assert str(SOCKET) in second.text(), "the path is not named"
        else:
            second.kill()
            raise AssertionError("two daemons on one socket")
        equal(ask(DANE), "OK dane-only", "the first one's reply")


def foreign_file(bench):
    """A path that is not a socket is neither replaced nor removed."""
    SOCKET.write_text("precious")
    try:
        daemon = bench.daemon("foreign")
        try:
            daemon.start()
        except RuntimeError:
            pass
        else:
            daemon.stop()
            raise AssertionError("started over a foreign file")
        equal(SOCKET.read_text(), "precious", "the file")
    finally:
        SOCKET.unlink()


def no_resolver_at_start(bench):
    """Starts all the same, says so, and recovers when there is one."""
    with bench.daemon("noresolver", dns__server=OTHER_RESOLVER,
                      dns__timeout="1s") as daemon:
        is_temp(ask(DANE), "without a resolver")
        assert f"server={OTHER_RESOLVER}" in daemon.text(), \
            "the log does not name the resolver"
        resolver = bench.internet.resolver(OTHER_RESOLVER)
        try:
            wait_for(lambda: recovered(DANE), RECOVERY, "recovery")
        finally:
            resolver.kill()
            resolver.wait()


def unreadable_ca_file(bench):
    """Does not start, and names the file."""
    daemon = bench.daemon("noca", sts__ca_file="/run/no-such-file.pem")
    try:
        daemon.start()
    except RuntimeError:
        assert "/run/no-such-file.pem" in daemon.text(), daemon.text()
    else:
        daemon.stop()
        raise AssertionError("started without the file")


def resolver_gone(bench):
    """TEMP with a reason, mail is deferred; all is well when it is back."""
    resolver = bench.internet.resolver(OTHER_RESOLVER)
    try:
        with bench.daemon("gone", dns__server=OTHER_RESOLVER,
                          dns__timeout="1s"):
            equal(ask(DANE), "OK dane-only", "before")
            resolver.kill()
            resolver.wait()
            is_temp(ask("dane-ta.test"), "without a resolver")
            delivery = bench.send_and_wait("dane-selfsigned.test")
            equal(delivery.status, "deferred", "delivery")
            assert re.search("temporary error: .*dane-selfsigned.test",
                             bench.log.text()), "no reason in Postfix's log"
            resolver = bench.internet.resolver(OTHER_RESOLVER)
            wait_for(lambda: recovered("dane-ta.test"), RECOVERY, "recovery")
    finally:
        resolver.kill()
        resolver.wait()


def resolver_does_not_validate(bench):
    """DANE is left to Postfix, MTA-STS still works, nothing is deferred."""
    resolver = bench.internet.resolver(OTHER_RESOLVER, validating=False)
    try:
        with bench.daemon("novalidation",
                          dns__server=OTHER_RESOLVER) as daemon:
            equal(ask(DANE), NONE, "DANE domain")
            equal(ask("bogus-mx.test"), NONE, "bogus domain")
            equal(ask(STS), secure("mx.sts-enforce.test"), "MTA-STS domain")
            for domain in (DANE, STS):
                delivery = bench.send_and_wait(domain)
                equal(delivery.status, "sent", f"delivery to {domain}")
            assert "validat" in daemon.text(), "no word of it in the log"
    finally:
        resolver.kill()
        resolver.wait()


def query_command(bench):
    """postern-policy query prints the reply first, and says why."""
    config = bench.daemon("query").config
    for domain, expected in ((STS, secure("mx.sts-enforce.test")),
                             (DANE, "OK dane-only")):
        found = subprocess.run(
            [bench.binary, "query", domain, "--config", config],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        equal(found.returncode, 0, f"exit status of query {domain}")
        assert expected in found.stdout, \
            f"query {domain}: no {expected!r} in {found.stdout!r}"
        assert f"mx.{domain}" in found.stdout, "the MX host is not named"


SCENARIOS = [postmap_agrees, hostile_text_adds_nothing, slow_policy_host,
             endless_answer,
             private_policy_host, kill_and_restart, terminate,
             terminate_while_asked, malformed_input, tcp_socket, socket_in_use,
             foreign_file, unreadable_ca_file, no_resolver_at_start,
             resolver_gone, resolver_does_not_validate, query_command]
