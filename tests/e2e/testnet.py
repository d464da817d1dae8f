"""The parts of the test internet put together; see `internet`.

Internet(folder).start() is called once, inside the private namespaces, by
`internet`. Programs that run inside find the same object with
Internet.running(): they may publish() a changed Domain or ask for another
resolver.
"""

import json
import os
import pathlib
import pickle
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import policyhosts
import world
from certs import Certificates
from nameservers import NameServers
from policyhosts import PolicyHosts
from sender import Sender

HERE = pathlib.Path(__file__).resolve().parent
# Seconds for what must come. Nothing is proven by it: it only ends a wait in
# vain, on however busy a machine.
PATIENCE = 60


def wait_for(condition, seconds, what):
    """Polls until condition() is true; its value, or TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


def listening(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


class Internet:
    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "log"
        self.mail = folder / "mail"
        self.certificates = Certificates(folder / "certs")
        self.names = NameServers(folder / "dns", self.log, self.certificates)
        self.web = PolicyHosts(folder / "web", self.log, self.certificates)
        self.sender = Sender(self.log, self.certificates.bundle)

    @staticmethod
    def running():
        folder = pathlib.Path(os.environ["TESTNET_DIR"])
        return pickle.loads((folder / "internet.pickle").read_bytes())

    def start(self, etc_postfix):
        self.log.mkdir()
        self.mail.mkdir()
        self.certificates.create_ca()
        self.sender.create(etc_postfix)
        with ThreadPoolExecutor(1) as pool:  # the slowest, beside the others
            sender = pool.submit(self.sender.start)
            self._start_servers()
            sender.result()
        (self.folder / "internet.pickle").write_bytes(pickle.dumps(self))

    def _start_servers(self):
        self.names.create()
        self._spawn("knot", self.names.knot_command())
        self._wait_listening(world.NAME_SERVER, 53)
        self._spawn("unbound", self.names.unbound_command())
        self.certificates.create(
            {(h.name, h.smtp) for h in world.HOSTS.values() if has_tls(h)} |
            {policyhosts.certificate(d) for d in world.DOMAINS if d.sts} |
            {policyhosts.IMPOSTOR_CERTIFICATE})
        self.web.create()
        self._spawn("nginx", self.web.command())
        self._spawn("receivers", self._receivers_command())
        self._wait_listening(world.POLICY_HOST, 443)
        self._wait_listening((world.V4 + "100", world.V6 + "100"), 25)
        self._wait_resolving("127.0.0.1")

    def environment(self):
        return {"TESTNET_DIR": str(self.folder),
                "TESTNET_LOG": str(self.log),
                "TESTNET_MAIL": str(self.mail),
                "TESTNET_CA": str(self.certificates.ca)}

    def publish(self, domain):
        """Makes a changed Domain visible: its policy first, then its zone."""
        if domain.sts:
            self.web.update(domain)
        self.names.update(domain)

    def resolver(self, address, validating=True, prefix=()):
        """Starts one more Unbound; returns its process.

        prefix: of its command, and of those that ask it (another network).
        """
        command = self.names.unbound_command(address, validating)
        process = self._spawn(f"unbound-{address}", [*prefix, *command])
        self._wait_resolving(address, prefix)
        return process

    def _spawn(self, name, command):
        with open(self.log / f"{name}.out", "wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)

    def _receivers_command(self):
        hosts = {}
        for host in world.HOSTS.values():
            certificate = self.certificates.path(host.name, host.smtp)
            for address in host.addresses() if host.smtp != "off" else ():
                hosts[address] = {
                    "name": host.name, "broken": host.smtp == "broken",
                    "certificate": str(certificate) if has_tls(host) else None}
        config = self.folder / "receivers.json"
        config.write_text(json.dumps({
            "key": str(self.certificates.key), "folder": str(self.mail),
            "log": str(self.log / "received.jsonl"), "hosts": hosts,
            "ports": sorted({h.port for h in world.HOSTS.values()})}))
        (self.log / "received.jsonl").touch()
        return ["/usr/bin/python3", "-B", HERE / "receivers.py", config]

    def _wait_listening(self, addresses, port):
        for address in addresses:
            wait_for(lambda: listening(address, port), PATIENCE,
                     f"[{address}]:{port}")

    def _wait_resolving(self, address, prefix=()):
        def resolves():
            answer = subprocess.run(
                [*prefix, "kdig", "+retry=0", "+time=1", "@" + address, "test", "SOA"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
            return b"status: NOERROR" in answer
        wait_for(resolves, PATIENCE, f"resolver on {address}")


def has_tls(host):
    return host.smtp not in ("plain", "off") and not host.cname
