"""What is expected of the package on a clean machine: STEPS, in their order."""

import pathlib
import re
import shutil

import world
from checks import DANE, STS, equal, found_in
from container import Container
from daemon import OUR_INTERNET
from maillog import MailLog
from testnet import wait_for

LIMIT = 30  # seconds, for mail and services
PACKAGE = "/root/postern.deb"
CONFIG = "/etc/postern/postern.conf"
SOCKET = "/var/spool/postfix/postern/policy.sock"
TLSRPT_SOCKET = "/var/spool/postfix/postern/tlsrpt.sock"
SERVICES = ("postern-policy.service", "postern-report.service")
SOCKETS = ("postern-policy.socket", "postern-tlsrpt.socket")
NOT_FOR_ALL = ("postern-milter.socket", "postern-metrics.socket")
BAD = "sts-selfsigned-cert.test"  # enforces, and nobody can deliver


class Machine(Container):
    def __init__(self, internet, root, package):
        super().__init__(root, internet.folder / "machine", world.SENDER)
        self.internet = internet
        self.package = package
        self.log = JournalLog(self)
        self.sent = 0

    def __enter__(self):
        self.start(self.internet)
        shutil.copy(self.package, self.path(PACKAGE))
        return self

    def out(self, *command):
        return self.run(*command).stdout.strip()

    def journal(self):
        return self.run("journalctl", "--no-pager", "-o", "short", "-n", "60",
                        check=False).stdout

    def send(self, domain):
        """A message to a recipient of its own, which is returned."""
        self.sent += 1
        recipient = f"machine{self.sent}@{domain}"
        self.run("sendmail", "-f", f"root@{world.SENDER_DOMAIN}", recipient,
                 input=f"To: {recipient}\nSubject: test\n\nHello\n")
        return recipient

    def delivery(self, domain):
        recipient = self.send(domain)
        return wait_for(lambda: self.log.delivery(recipient), LIMIT,
                        f"delivery to {recipient}")

    def is_active(self, unit):
        return self.run("systemctl", "is-active", unit,
                        check=False).stdout.strip() == "active"

    def restarts(self, unit):
        return self.out("systemctl", "show", "-P", "NRestarts", unit)

    def postfix(self):
        """What main.cf and master.cf mean, set by set."""
        return self.out("postconf", "-n"), self.out("postconf", "-M")


class JournalLog(MailLog):
    """Postfix's log, where the machine keeps it in its journal."""

    def __init__(self, machine):
        super().__init__(machine.internet.log)
        self.machine = machine

    def text(self):
        return self.machine.run("journalctl", "--no-pager", "-o", "short",
                                "--facility=mail").stdout


def install(machine):
    """apt installs the package and Postfix; the services run"""
    machine.run("apt-get", "install", "-y", PACKAGE, "postfix")
    for unit in (*SERVICES, *SOCKETS):
        wait_for(lambda: machine.is_active(unit), LIMIT, unit)
        equal(machine.out("systemctl", "is-enabled", unit), "enabled", unit)
    for unit in NOT_FOR_ALL:
        equal(machine.run("systemctl", "is-enabled", unit,
                          check=False).stdout.strip(), "disabled", unit)
    for unit in SERVICES:
        equal(machine.restarts(unit), "0", f"restarts of {unit}")
        found_in("event=ready", machine.out("journalctl", "-u", unit), unit)


def users_and_folders(machine):
    """everything belongs to whom it should"""
    equal(machine.out("id", "-nG", "postern").split(), ["postern", "postfix"],
          "groups of the user postern")
    for path, wanted in (
            (SOCKET, "660 root postfix"),
            (TLSRPT_SOCKET, "660 root postfix"),
            ("/var/spool/postfix/postern", "750 postern postfix"),
            ("/var/lib/postern", "750 postern postern"),
            ("/var/lib/postern/policies.db", "640 postern postern"),
            ("/var/spool/postern", "750 postern postern"),
            ("/var/spool/postern/outcomes", "750 postern postern"),
            ("/var/spool/postern/reports", "750 postern postern"),
            ("/var/spool/postern/reports/reports.db", "640 postern postern"),
            (CONFIG, "644 root root")):
        equal(machine.out("stat", "-c", "%a %U %G", path), wanted, path)
    for service in SERVICES:
        pid = machine.out("systemctl", "show", "-P", "MainPID", service)
        status = machine.path(f"/proc/{pid}/status").read_text()
        found_in(r"CapEff:\s0{16}\n", status, service)
        found_in(r"NoNewPrivs:\s1\n", status, service)
        found_in(r"Seccomp:\s2\n", status, service)
    machine.run("postfix", "check")


STEPS = [install, users_and_folders]
