"""What all measurements share: the programs under measurement, and tables.

Contract: inside the namespaces that `run` makes.
"""

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import internet

HERE = Path(__file__).resolve().parent
FOLDER = Path("/run/bench")         # a tmpfs, once inside
STATE = Path("/var/lib/postern")    # the daemon's default
SERVER_CPU, LOAD_CPU = "0", "1"
CACHED_KEYS = 1000
IN_FLIGHT = 100
DRIPPING = 1000
METRICS = "127.0.0.1:9125"
FAST_DNS = "127.0.0.1:5300"         # dns_flood_server, where it runs


class Bench:
    """The programs under measurement, inside the namespaces."""

    def __init__(self, options):
        self.options = options
        self.net = internet.Internet(FOLDER, options.domains)
        self.socket = f"unix:{FOLDER}/policy.sock"
        self.keys = {
            "dane": self.key_file("dane", internet.dane_domain),
            "sts": self.key_file("sts", internet.sts_domain)}

    def key_file(self, name, domain, first=0, count=None):
        last = first + (count or self.options.domains)
        return self.net.write(f"{name}.keys", "".join(
            domain(i) + "\n" for i in range(first, last)))

    # --- The daemon, the bare server, a fast resolver ------------------------

    @contextlib.contextmanager
    def daemon(self, cpu=None, **settings):
        """postern-policy with empty state, ready to answer; yields its pid.

        Settings are of its configuration, section__key=value. With a
        cache__directory of its own it starts with what is in there.
        """
        if "cache__directory" not in settings:
            empty(STATE)
            settings["cache__directory"] = STATE
        config = self.config(**settings)
        with self.server("postern", self.socket, cpu, self.options.daemon,
                         "serve", "--config", config) as pid:
            yield pid

    def config(self, **settings):
        values = {"policy__listen": self.socket,
                  "policy__metrics_listen": f"inet:{METRICS}",
                  "tlsrpt__listen": "none",
                  "spool__directory": STATE / "spool",
                  "policy__max_connections": 11000,
                  "dns__server": "127.0.0.1",
                  "sts__ca_file": FOLDER / "tls/ca.pem",
                  "sts__allow_private": internet.NETWORKS,
                  "log__level": "warn",
                  **settings}
        lines = []
        for section in dict.fromkeys(key.split("__")[0] for key in values):
            lines.append(f"[{section}]")
            lines += [f"{key.split('__')[1]} = {value}"
                      for key, value in values.items()
                      if key.startswith(section + "__")]
        return self.net.write("postern.conf", "\n".join(lines) + "\n")

    @contextlib.contextmanager
    def bare_server(self, reply):
        endpoint = f"unix:{FOLDER}/bare.sock"
        with self.server("bare", endpoint, SERVER_CPU,
                         self.program("bare_server"), endpoint, reply) as pid:
            yield endpoint, pid

    @contextlib.contextmanager
    def fast_resolver(self, policy_id):
        """A resolver that answers at once, at FAST_DNS; yields its pid."""
        self.net.spawn("fast_dns", *pinned(LOAD_CPU),
                       self.program("dns_flood_server"), FAST_DNS, policy_id)
        host, port = FAST_DNS.split(":")
        self.net.wait_for("fast_dns", lambda: " ad;" in internet.dig(
            host, ".", "SOA", "-p", port))
        try:
            yield self.net.pid("fast_dns")
        finally:
            self.net.stop("fast_dns")

    @contextlib.contextmanager
    def server(self, name, endpoint, cpu, *command):
        self.net.spawn(name, *pinned(cpu), *command)
        try:
            self.net.wait_for(name, lambda: accepts(endpoint), 20)
            yield self.net.pid(name)
        finally:
            if self.net.has_died(name) and name not in self.net.killed:
                print(f"{name} died:\n{self.net.log_tail(name)}",
                      file=sys.stderr)
            self.net.stop(name)

    # --- Load ----------------------------------------------------------------

    def program(self, name):
        return self.options.programs / f"bench_{name}"

    def load_command(self, endpoint, keys, *more, cpu=None, pids=()):
        return [*pinned(cpu), self.program("socketmap_load"), "--socket",
                endpoint, "--keys", keys, *more, *pid_options(pids)]

    def load(self, *arguments, **options):
        return json.loads(internet.run(
            *self.load_command(*arguments, **options)))

    @contextlib.contextmanager
    def background(self, *arguments, **options):
        """A load that runs meanwhile; yields the process."""
        command = self.load_command(*arguments, **options)
        with subprocess.Popen([str(word) for word in command], text=True,
                              stdout=subprocess.PIPE) as load:
            try:
                yield load
            finally:
                if load.poll() is None:
                    load.kill()

    def dns_load(self, keys, chain):
        stages = [word for stage in chain for word in ("--stage", stage)]
        return json.loads(internet.run(
            self.program("dns_load"), "--keys", keys, "--in-flight", IN_FLIGHT,
            *stages, *pid_options([self.net.pid("unbound")])))

    def warm_up(self, keys, verb):
        """Asks until every key is answered `verb` from the cache."""
        for _ in range(10):
            result = self.load(self.socket, keys, "--once", "--connections",
                               IN_FLIGHT)
            if result[verb] > 0 and result["unanswered"] == 0 and (
                    result[verb] == result["replies"]):
                return result
            time.sleep(1)
        raise RuntimeError(f"the daemon does not answer {verb}: "
                           f"{answers(result)}; its log ends:\n"
                           f"{self.net.log_tail('postern')}")

    def measure_cached(self, endpoint, pid, keys, connections, *more):
        result = self.load(
            endpoint, keys, "--connections", connections, "--seconds",
            self.options.seconds, "--warmup", "0.3", *more, cpu=LOAD_CPU,
            pids=[pid])
        # What is left to compare when others take the server's core from it.
        result["replies_per_cpu_second"] = (
            result["replies"] / max(result["processes"][0]["cpu_seconds"], .01))
        return result


def metrics():
    """The daemon's, {name{labels}: value}."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=20) as r:
        lines = r.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in lines if not line.startswith("#")}


def process_usage(pid):
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def empty(folder):
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def pinned(cpu):
    return [] if cpu is None else ["taskset", "-c", cpu]


def pid_options(pids):
    return [word for pid in pids for word in ("--pid", pid)]


def connect(endpoint):
    if endpoint.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(endpoint[5:])
        return client
    host, port = endpoint[5:].rsplit(":", 1)
    return socket.create_connection((host, int(port)))


def accepts(endpoint):
    try:
        connect(endpoint).close()
        return True
    except OSError:
        return False


def ask(endpoint, key):
    """One socketmap question; the reply's text."""
    with connect(endpoint) as client:
        request = f"policy {key}"
        client.sendall(f"{len(request)}:{request},".encode())
        reply = client.recv(100000).decode()
    return reply[reply.index(":") + 1:-1]


# --- Figures and tables ------------------------------------------------------

def memory(pid):
    """Resident memory in MiB, now and at its peak."""
    status = Path(f"/proc/{pid}/status").read_text().split()
    return [int(status[status.index(key) + 1]) / 1024
            for key in ("VmRSS:", "VmHWM:")]


def median(runs, column):
    return statistics.median(run[column] for run in runs)


def ratio(runs, others, column):
    """Median of the ratios of neighbours in time."""
    ratios = [run[column] / other[column] for run, other in zip(runs, others)]
    return f"{statistics.median(ratios):.2f}"


def middle(runs):
    """The run with the median rate."""
    ordered = sorted(runs, key=lambda run: run["requests_per_second"])
    return ordered[len(runs) // 2]


def share(usage, run):
    """CPU of some processes as a share of one core."""
    if not usage:
        return "-"
    seconds = sum(process["cpu_seconds"] for process in usage)
    return f"{100 * seconds / run['elapsed_seconds']:.0f} %"


def rss(run):
    return f"{run['processes'][0]['rss_kib'] / 1024:.1f}"


def answers(run):
    verbs = ("ok_secure", "ok_dane_only", "ok_dane", "ok_other", "notfound",
             "temp", "temp_too_many", "perm", "bad", "closed", "unanswered",
             "authentic", "noerror", "nxdomain", "failed", "resent")
    return " ".join(f"{verb}={run[verb]}" for verb in verbs if run.get(verb))


def machine_noise(seconds=2):
    """What others do to the cores, to be said beside the figures."""
    def ticks():
        line = Path("/proc/stat").read_text().splitlines()[0]
        return [int(word) for word in line.split()[1:9]]

    before = ticks()
    time.sleep(seconds)
    spent = [after - old for old, after in zip(before, ticks())]
    waiting = spent[3] + spent[4]   # idle, iowait
    return (f"{os.cpu_count()} cores, {100 * (1 - waiting / sum(spent)):.0f} % "
            f"busy with other work just before, load average "
            f"{os.getloadavg()[0]:.1f}")


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def print_table(title, columns, rows):
    print(f"\n#### {title}\n")
    lines = [columns.split(), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths))
        print("|", " | ".join(cells), "|")
    sys.stdout.flush()
