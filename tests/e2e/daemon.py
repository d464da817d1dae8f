"""Starts and stops postern-policy, and asks it questions over its socket."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import urllib.request

import world
from sender import SOCKET, TLSRPT_SOCKET
from testnet import PATIENCE, wait_for
from tlsrpt import Spool

STOP_LIMIT = ASK_LIMIT = PATIENCE
METRICS = "127.0.0.1:9474"
REPORT_METRICS = "127.0.0.1:9475"
OUR_INTERNET = f"{world.V4}0/24,{world.V6}/32"


def settings(ca, overrides):
    """The configuration, {section.key: value}.

    None leaves a key out, a list repeats it.
    """
    values = {
        "policy.listen": f"unix:{SOCKET}",
        "policy.answer_timeout": "8s",
        "policy.socket_group": "postfix",
        "policy.metrics_listen": f"inet:{METRICS}",
        "tlsrpt.listen": f"unix:{TLSRPT_SOCKET}",
        "dns.server": "127.0.0.1",
        "sts.ca_file": ca,
        "sts.port": "443",
        "sts.allow_private": OUR_INTERNET,
        "log.level": "debug",
        **overrides}
    return {key: v for key, v in values.items() if v is not None}


def config_text(values):
    lines = []
    for section in dict.fromkeys(key.partition(".")[0] for key in values):
        lines.append(f"[{section}]")
        for key, value in values.items():
            if key.startswith(section + "."):
                name = key.partition(".")[2]
                lines += [f"{name} = {v}" for v in
                          (value if isinstance(value, list) else [value])]
    return "\n".join(lines) + "\n"


class Daemon:
    """One configuration of postern-policy serve; may be started repeatedly.

    Its log goes to NAME.log, its configuration to NAME.conf, what it remembers
    to NAME.cache and its spool to NAME.spool, all in the folder of logs.
    Overrides are settings, section__key=value.
    """

    metrics = METRICS

    def __init__(self, binary, name, log_folder, ca, **overrides):
        self.binary = binary
        self.log = pathlib.Path(log_folder) / f"{name}.log"
        self.config = self.log.with_suffix(".conf")
        self.cache = self.log.with_suffix(".cache")
        self.spool = Spool(self.log.with_suffix(".spool"))
        self.own = {"cache__directory": self.cache,
                    "spool__directory": self.spool.directory, **overrides}
        self.ca = ca
        self.process = None
        self.started_at = 0  # of the log, in bytes
        self.configure()

    def configure(self, **overrides):
        """Writes the configuration anew, with these beside its own."""
        values = {key.replace("__", "."): value
                  for key, value in {**self.own, **overrides}.items()}
        self.config.write_text(config_text(settings(self.ca, values)))

    def start(self, prefix=(), environment=None, pass_fds=()):
        self.launch(prefix, environment, pass_fds)
        self.wait_ready()
        return self

    def launch(self, prefix=(), environment=None, pass_fds=()):
        """Starts it behind the words of `prefix`; does not wait."""
        self.started_at = self.log_size()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*prefix, self.binary, "serve", "--config", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=pass_fds,
                env={**os.environ, **(environment or {})})

    def wait_ready(self):
        def ready():
            self.check_alive(self.started_at)
            return "event=ready" in self.text(self.started_at)
        wait_for(ready, PATIENCE, f"{self.binary} ready")

    def reload(self):
        """SIGHUP; returns what is logged up to its end."""
        offset = self.log_size()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "event=reload" in self.text(offset), PATIENCE,
                 "the reload")
        # Lines may follow; they come before the same thread answers this.
        self.metric("up")
        return self.text(offset)

    def command(self, *words, **options):
        """Runs a command of the same program with the same configuration."""
        return subprocess.run(
            [self.binary, *words, "--config", self.config],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="backslashreplace", **options)

    def remembered(self, domain):
        """What `cache show` says of a domain; None where it is nothing."""
        shown = self.command("cache", "show", domain, "--json")
        return json.loads(shown.stdout) if shown.returncode == 0 else None

    def policy_file(self):
        return self.cache / "policies.db"

    def metric(self, name):
        """The value of NAME or NAME{label="..."}; 0 where there is none."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics",
                                    timeout=ASK_LIMIT) as response:
            for line in response.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.rpartition(" ")[2])
        return 0

    def log_size(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def since_start(self):
        return self.text(self.started_at)

    def check_alive(self, offset=0):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.binary} ended with status "
                               f"{self.process.returncode}: "
                               f"{self.text(offset)[-500:]}")

    def text(self, offset=0):
        return self.log.read_bytes()[offset:].decode(errors="replace")

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_LIMIT)
        finally:
            self.process.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def stopped(self):
        """By SIGSTOP, for so long, and in all its threads.

        A thread that waits for a core goes on for a while after kill(2) has
        returned; the parent hears once the last one has stopped.
        """
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.stop()


class Client:
    """A connection to the daemon's socket; replies come byte for byte."""

    def __init__(self, path=SOCKET):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(ASK_LIMIT)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_question(self, key, map_name="policy"):
        question = f"{map_name} {key}".encode()
        self.send(b"%d:%s," % (len(question), question))

    def reply(self):
        """The next reply; None if the daemon has closed the connection."""
        digits = b""
        while (byte := self.stream.read(1)) not in (b":", b""):
            digits += byte
        if not digits:
            return None
        reply = self.stream.read(int(digits) + 1)
        assert reply.endswith(b","), f"malformed netstring {digits}:{reply}"
        return reply[:-1].decode()


    def ask(self, key, map_name="policy"):
        self.send_question(key, map_name)
        return self.reply()


def ask(key, map_name="policy", path=SOCKET):
    """One question on a connection of its own."""
    with Client(path) as client:
        return client.ask(key, map_name)
