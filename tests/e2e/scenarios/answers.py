"""What the daemon answers where the peer is hostile, slow or private."""

import pathlib
import re
import socket
import ssl
import subprocess
import threading

import world
from cases import NONE, secure
from checks import STS, equal, is_temp
from daemon import ask
from sender import SOCKET

FETCHES = "postern_sts_fetches_in_flight"


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
    """Holds mail once at most, and not until the fetch has ended."""
    domain = world.BY_NAME["web-slow"].fqdn
    with bench.daemon("slow", policy__answer_timeout="2s") as daemon:
        first = ask(domain)
        if first != NONE:
            is_temp(first, "first answer")
        equal(daemon.metric(FETCHES), 1, "fetches at the first answer")
        equal(ask(domain), NONE, "second answer")
        equal(daemon.metric(FETCHES), 1, "fetches at the second answer")
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


SCENARIOS = [postmap_agrees, hostile_text_adds_nothing, slow_policy_host,
             endless_answer, private_policy_host]
