"""A good citizen: systemd's sockets and messages, users, crowds."""

import contextlib
import os
import pathlib
import pwd
import resource
import shutil
import signal
import socket
import stat

from cases import NONE, secure
from checks import DANE, STS, Skipped, equal, found_in
from daemon import METRICS, STOP_LIMIT, Client, ask
from sender import SOCKET
from testnet import PATIENCE, wait_for

USER = "nobody"
CROWD = 1000


class NotifySocket:
    """What systemd listens on."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)

    def wait(self, variable):
        """The next message with that line, others are passed over."""
        while variable not in (lines := self.socket.recv(4096).decode()
                               .split("\n")):
            pass
        return lines


def socket_activation(bench):
    """systemd's sockets are taken over; systemd hears what happens."""
    if not shutil.which("systemd-socket-activate"):
        raise Skipped("systemd-socket-activate is not installed")
    path = SOCKET.with_name("activated.sock")
    milter = SOCKET.with_name("activated-milter.sock")
    notify_path = bench.internet.folder / "notify"
    notify = NotifySocket(notify_path)
    daemon = bench.daemon("activated", policy__listen=f"unix:{SOCKET}.beside",
                          policy__metrics_listen=None)
    daemon.launch(prefix=[
        "systemd-socket-activate", "--listen", path, "--listen", METRICS,
        "--listen", milter, "--fdname=policy:metrics:milter",
        f"--setenv=NOTIFY_SOCKET={notify_path}",
        "--setenv=WATCHDOG_USEC=200000"])
    with daemon:
        wait_for(lambda: f"Listening on {milter} as" in daemon.text(),
                 PATIENCE, "systemd's sockets")
        equal(ask(DANE, path=path), "OK dane-only", "reply")
        daemon.wait_ready()
        notify.wait("READY=1")
        notify.wait("WATCHDOG=1")
        notify.wait("WATCHDOG=1")
        equal(ask(DANE, path=f"{SOCKET}.beside"), "OK dane-only",
              "reply at what policy.listen names beside systemd's sockets")
        equal(daemon.metric("postern_connections_total"), 2, "connections")
        found_in(f"event=listening socket=unix:{milter} for=milter",
                 daemon.text(), "the log")
        daemon.reload()
        lines = notify.wait("RELOADING=1")
        found_in(r"MONOTONIC_USEC=\d{4,}", "\n".join(lines), "the message")
        notify.wait("READY=1")
        daemon.process.send_signal(signal.SIGTERM)
        notify.wait("STOPPING=1")
        equal(daemon.process.wait(STOP_LIMIT), 0, "exit status")
        assert path.exists(), "systemd's socket file was removed"


def a_port_that_is_taken(bench):
    """Without metrics and milter mail is answered all the same."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"inet:127.0.0.1:{taken.getsockname()[1]}"
        with bench.daemon("taken", policy__metrics_listen=address,
                          milter__listen=address) as daemon:
            equal(ask(DANE), "OK dane-only", "reply")
            for key in ("policy.metrics_listen", "milter.listen"):
                found_in(f"event=not_listening key={key} reason=.*in use",
                         daemon.text(), "the log")


def unprivileged_user(bench):
    """run.user: everything is theirs, and goes on after kill -9."""
    account = pwd.getpwnam(USER)
    folder = SOCKET.parent.with_name("postern-" + USER)
    path = folder / "policy.sock"
    daemon = bench.daemon("unprivileged", run__user=USER,
                          policy__listen=f"unix:{path}")
    overrides = daemon.log.with_suffix(".overrides")
    overrides.write_text("none.test encrypt\n")
    daemon.own["policy__overrides"] = overrides
    daemon.configure()
    with daemon:
        equal(ask(STS, path=path), secure("mx." + STS), "reply")
        status = pathlib.Path("/proc", str(daemon.process.pid),
                              "status").read_text()
        for name, number in (("Uid", account.pw_uid), ("Gid", account.pw_gid)):
            equal(found_in(rf"{name}:\s+(.*)", status, "status")[1].split(),
                  [str(number)] * 4, name)
        equal(found_in("Groups:(.*)", status, "status")[1].split(),
              [str(g) for g in os.getgrouplist(USER, account.pw_gid)],
              "Groups")
        found_in(r"CapEff:\s+0+\n", status, "capabilities")
        for each in (daemon.cache, daemon.policy_file()):
            equal(each.stat().st_uid, account.pw_uid, f"owner of {each}")
            equal(each.stat().st_mode & 0o007, 0, f"others' rights to {each}")
        is_for_postfix(path)
        overrides.write_text("none.test may\n")
        found_in("event=reloaded", daemon.reload(), "the log")
        equal(ask("none.test", path=path), "OK may", "after the reload")

        daemon.kill()
        daemon.start()
        is_for_postfix(path)
        assert daemon.remembered(STS), "the policy is gone"
        assert "policy_file" not in daemon.since_start(), daemon.since_start()
        equal(ask(DANE, path=path), "OK dane-only", "reply after kill -9")
        equal(daemon.stop(), 0, "exit status")
        assert not path.exists(), "the socket file is still there"


def is_for_postfix(path):
    info = path.stat()
    equal(stat.S_IMODE(info.st_mode), 0o660, f"mode of {path}")
    equal(path.group(), "postfix", f"group of {path}")


def a_thousand_at_once(bench):
    """All of them connect, then all of them ask; none is left waiting."""
    questions = [(DANE, "OK dane-only"), (STS, secure("mx." + STS)),
                 ("none.test", NONE), ("dane-two.test", "OK dane-only"),
                 ("sts-two.test", secure("mx1.sts-two.test",
                                         "mx2.sts-two.test"))]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * CROWD), hard))
    with bench.daemon("crowd") as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client()) for _ in range(CROWD)]
        for number, client in enumerate(clients):
            client.send_question(questions[number % len(questions)][0])
        for number, client in enumerate(clients):
            key, expected = questions[number % len(questions)]
            equal(client.reply(), expected, f"reply {number} ({key})")
        equal(daemon.metric("postern_connections"), CROWD, "connections")


SCENARIOS = [socket_activation, a_port_that_is_taken, unprivileged_user,
             a_thousand_at_once]
