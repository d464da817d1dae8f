"""The daemon is started, stopped and killed; its sockets."""

import pathlib
import subprocess

import world
from cases import NONE
from checks import DANE, equal
from daemon import STOP_LIMIT, Client, ask
from sender import SOCKET
from testnet import PATIENCE, wait_for

TCP_SOCKET = "127.0.0.1:8461"


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
        wait_for(lambda: bench.log.delivery(bench.last, "sent"), PATIENCE,
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
            wait_for(fetching, PATIENCE, "the policy fetch")
            daemon.process.terminate()
            reply = client.reply()
            assert reply, "no answer after SIGTERM"
        equal(daemon.process.wait(STOP_LIMIT), 0, "exit status")
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


SCENARIOS = [kill_and_restart, terminate, terminate_while_asked,
             malformed_input, tcp_socket, socket_in_use, foreign_file,
             unreadable_ca_file]
