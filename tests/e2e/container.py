"""A Debian machine in the test internet: its own systemd, network and files.

Container(root, folder, host) boots a root of debian_root.py in namespaces of
its own. The root stays as it is: what the machine writes is in memory, and
gone with it. systemd is process 1 in there and sees that root alone.
"""

import os
import pathlib
import subprocess
import time

import world
from testnet import HERE, wait_for

BOOT_LIMIT = 60  # seconds; it takes about 2
RUN_LIMIT = 300
# The network between the test internet and the machine.
OUTSIDE = ("10.9.0.1", "fd00:9::1")
INSIDE = ("10.9.0.2", "fd00:9::2")
# Not 127.0.0.1: Internet.resolver() tells its resolvers apart by address.
RESOLVER = "127.0.0.53"


class Container:
    def __init__(self, root, folder, host):
        self.root = root
        self.folder = folder
        self.host = host
        self.process = None  # unshare
        self.pid = None  # of its systemd, as seen here
        self.resolver = None

    def start(self, internet):
        try:
            return self._start(internet)
        except BaseException:
            self.stop()
            raise

    def _start(self, internet):
        self.folder.mkdir(exist_ok=True)
        cgroup = self._cgroup()
        # A group of processes of its own, which its systemd takes for the
        # root: it must not rule over the machine's.
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net",
             "--cgroup", "--fork", "--kill-child=KILL",
             HERE / "container-init", self.root, self.folder, self.host],
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: (cgroup / "cgroup.procs").write_text("0"))
        children = pathlib.Path(
            f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pid = int(wait_for(lambda: self._alive() and children.read_text(),
                                BOOT_LIMIT, "process 1"))
        wait_for(lambda: self._alive() and self._is_systemd(), BOOT_LIMIT,
                 "systemd")
        self._connect()
        wait_for(lambda: self.run("systemctl", "is-system-running",
                                  check=False).stdout.strip() ==
                 "running", BOOT_LIMIT, "the machine's start")
        self._resolve(internet)
        return self

    def _cgroup(self):
        mounted = self.folder / "cgroup"
        mounted.mkdir()
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", mounted],
                       check=True)
        for left in mounted.glob("postern-e2e-*"):  # of those that were killed
            if is_empty(left):
                remove(left)
        self.cgroup = mounted / f"postern-e2e-{os.getpid()}-{time.time_ns()}"
        self.cgroup.mkdir()
        return self.cgroup

    def _alive(self):
        if self.process.poll() is not None:
            raise RuntimeError("the machine did not start")
        return True

    def _is_systemd(self):
        path = os.readlink(f"/proc/{self.pid}/exe")
        return path.endswith("/systemd")

    def _enter(self, *kinds):
        return ["nsenter", f"--target={self.pid}",
                *(f"--{kind}" for kind in kinds)]

    def _connect(self):
        def do(*command):
            subprocess.run(command, check=True)
        do("ip", "link", "add", "machine", "type", "veth", "peer", "name",
           "eth0", "netns", str(self.pid))
        net = self._enter("net")
        for command, device, addresses in (((), "machine", OUTSIDE),
                                           (net, "eth0", INSIDE)):
            do(*command, "ip", "address", "add", addresses[0] + "/24", "dev",
               device)
            do(*command, "ip", "address", "add", addresses[1] + "/64", "dev",
               device, "nodad")
            do(*command, "ip", "link", "set", device, "up")
        do(*net, "ip", "link", "set", "lo", "up")
        do(*net, "ip", "route", "add", "default", "via", OUTSIDE[0])
        do(*net, "ip", "-6", "route", "add", "default", "via", OUTSIDE[1])

    def _resolve(self, internet):
        """A validating resolver on the machine, as the handbook wants."""
        self.resolver = internet.resolver(RESOLVER,
                                          prefix=self._enter("net"))
        self.write("/etc/resolv.conf", f"nameserver {RESOLVER}\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n"
                   f"{INSIDE[0]} {self.host}\n")
        self.write("/usr/local/share/ca-certificates/testnet.crt",
                   internet.certificates.ca.read_text())
        self.run("update-ca-certificates")

    def path(self, inside):
        """A file of the machine's, as seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root{inside}")

    def write(self, path, text):
        path = self.path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *command, check=True, **more):
        """Runs a command as root of the machine; what it said."""
        done = subprocess.run(
            [*self._enter("mount", "uts", "ipc", "net", "pid", "cgroup",
                          "root", "wdns=/"),
             "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
             "DEBIAN_FRONTEND=noninteractive", *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=RUN_LIMIT, **more)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit status "
                               f"{done.returncode}: {done.stdout[-3000:]}")
        return done

    def from_network(self, *command):
        """What a program of ours says that runs in the machine's network."""
        return subprocess.run([*self._enter("net"), *command], check=True,
                              stdout=subprocess.PIPE, text=True,
                              timeout=RUN_LIMIT).stdout

    def stop(self):
        if not self.process:
            return
        subprocess.run(["ip", "link", "delete", "machine"])
        for process in (self.resolver, self.process):
            if process:
                process.kill()
                process.wait()
        wait_for(lambda: is_empty(self.cgroup), BOOT_LIMIT,
                 "the end of the machine's processes")
        remove(self.cgroup)
        subprocess.run(["umount", self.cgroup.parent], check=True)
        self.cgroup.parent.rmdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def is_empty(cgroup):
    """Is there no process in it, nor below?"""
    return "populated 0" in (cgroup / "cgroup.events").read_text()


def remove(cgroup):
    for folder, *_ in os.walk(cgroup, topdown=False):
        os.rmdir(folder)
