"""What is expected of the package on a clean machine: STEPS, in their order."""

import email
import json
import re
import shutil
import subprocess

import world
from checks import DANE, STS, equal, found_in
from container import Container
from daemon import OUR_INTERNET
from handbook import commands, unmarked
from maillog import MailLog
from reporting import reported_day
from testnet import PATIENCE, wait_for

LIMIT = PATIENCE  # for mail and services
PACKAGE = "/root/postern.deb"
CONFIG = "/etc/postern/postern.conf"
SOCKET = "/var/spool/postfix/postern/policy.sock"
METRICS = "127.0.0.1:9474"
MILTER_SOCKET = "/var/spool/postfix/postern/milter.sock"
TLSRPT_SOCKET = "/var/spool/postfix/postern/tlsrpt.sock"
QUEUE = "/var/lib/postern-report"
REPORTED = "/var/spool/postern/reported"
GROUPS = {"postern": ["postern"],
          "postern-report": ["postern-report", "postern"]}
SERVICES = ("postern-policy.service", "postern-report.service")
SOCKETS = ("postern-policy.socket", "postern-tlsrpt.socket")
NOT_FOR_ALL = ("postern-milter.socket", "postern-metrics.socket")
UNITS = SERVICES + SOCKETS + NOT_FOR_ALL
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

    def newer_package(self):
        """The package with a higher version and another default."""
        folder = self.internet.folder / "newer"
        subprocess.run(["dpkg-deb", "-R", self.package, folder], check=True)
        for file, old, new in (("DEBIAN/control", "Version: ", "Version: 9."),
                               (CONFIG[1:], "# ", "# New: ")):
            text = (folder / file).read_text()
            assert old in text
            (folder / file).write_text(text.replace(old, new, 1))
        package = "/root/newer.deb"
        subprocess.run(["dpkg-deb", "-b", folder, self.path(package)],
                       check=True, stdout=subprocess.DEVNULL)
        return package

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

    def pid_of(self, service):
        return self.out("systemctl", "show", "-P", "MainPID", service)

    def status_of(self, service):
        return self.path(f"/proc/{self.pid_of(service)}/status").read_text()

    def as_service(self, service):
        """Words before a command that is to see what the service sees, with
        its user and groups."""
        status = self.status_of(service)
        user, group = (re.search(rf"{name}:\s(\d+)", status)[1]
                       for name in ("Uid", "Gid"))
        groups = ",".join(re.search(r"Groups:(.*)", status)[1].split())
        return ("nsenter", f"--mount=/proc/{self.pid_of(service)}/ns/mnt",
                "setpriv", f"--reuid={user}", f"--regid={group}",
                f"--groups={groups}")

    def postfix(self):
        """What main.cf and master.cf mean."""
        return self.out("postconf", "-n"), self.out("postconf", "-M")

    def tells_of_sessions(self):
        """Is its Postfix 3.10 or later?"""
        version = self.out("postconf", "-h", "mail_version")
        return [int(n) for n in version.split(".")[:2]] >= [3, 10]

    def metrics(self):
        return self.from_network(
            "/usr/bin/python3", "-c", "import urllib.request; print("
            f"urllib.request.urlopen('http://{METRICS}/metrics').read()"
            ".decode())")

    def spool(self):
        """The lines of the spool, oldest first."""
        folder = self.path("/var/spool/postern/outcomes")
        return [json.loads(line) for path in sorted(folder.glob("*.jsonl"))
                for line in path.read_text().split("\n")[:-1]]


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
        # systemd hears of it before the journal does
        wait_for(lambda: "event=ready" in
                 machine.out("journalctl", "-u", unit), LIMIT, unit)


def users_and_folders(machine):
    """everything belongs to whom it should"""
    for user, groups in GROUPS.items():
        equal(machine.out("id", "-nG", user).split(), groups,
              f"groups of {user}")
    for path, wanted in (
            (SOCKET, "660 root postfix"),
            (TLSRPT_SOCKET, "660 root postfix"),
            ("/var/spool/postfix/postern", "750 root postfix"),
            ("/var/lib/postern", "700 postern postern"),
            ("/var/lib/postern/policies.db", "640 postern postern"),
            ("/var/spool/postern", "750 root postern"),
            ("/var/spool/postern/outcomes", "2750 postern postern"),
            (REPORTED, "755 postern-report postern"),
            (QUEUE, "700 postern-report postern-report"),
            (f"{QUEUE}/reports.db", "640 postern-report postern-report"),
            (CONFIG, "644 root root")):
        equal(machine.out("stat", "-c", "%a %U %G", path), wanted, path)
    for service, user in zip(SERVICES, GROUPS):
        status = machine.status_of(service)
        equal(machine.out("id", "-un", found_in(
            r"Uid:\s(\d+)", status, service)[1]), user, f"user of {service}")
        found_in(r"Max core file size +0 +0 ", machine.path(
            f"/proc/{machine.pid_of(service)}/limits").read_text(), service)
        found_in(r"CapEff:\s0{16}\n", status, service)
        found_in(r"NoNewPrivs:\s1\n", status, service)
        found_in(r"Seccomp:\s2\n", status, service)
    machine.run("postfix", "check")


def kept_apart(machine):
    """neither service can look at what is the other's"""
    key = "/etc/postern/key.pem"
    machine.run("install", "-g", "postern-report", "-m", "640", "/dev/null",
                key)
    for service, theirs in zip(SERVICES, ((f"{QUEUE}/reports.db", key),
                                          ("/var/lib/postern/policies.db",))):
        for path in theirs:
            read = machine.run(*machine.as_service(service), "cat", path,
                               check=False)
            equal(read.returncode, 1, f"{service}: cat {path}")
            found_in("Permission denied|No such file", read.stdout, path)
    machine.run(*machine.as_service(SERVICES[1]), "ls",
                "/var/spool/postern/outcomes")
    # Nobody but root puts anything in the place of a socket.
    moved = machine.run(*machine.as_service(SERVICES[0]), "mv", SOCKET,
                        f"{SOCKET}.moved", check=False)
    equal(moved.returncode, 1, "the daemon's moving of its socket")
    machine.run("rm", key)


def units(machine):
    """systemd finds no fault in the units, and little exposed"""
    folder = next(path for path in ("/lib/systemd/system",
                                    "/usr/lib/systemd/system")
                  if machine.path(f"{path}/{SERVICES[0]}").exists())
    names = [f"{folder}/{unit}" for unit in UNITS]
    equal(machine.out("systemd-analyze", "verify", "--man=no", *names), "",
          "systemd-analyze verify")
    for unit in SERVICES:  # tenths: 1.5 of 10
        machine.run("systemd-analyze", "security", "--offline=true",
                    "--threshold=15", f"{folder}/{unit}")


def configure(machine):
    """a changed configuration is taken up by a reload"""
    # The hosts of the test internet have addresses that are nobody's.
    with open(machine.path(CONFIG), "a") as config:
        config.write(f"[sts]\nallow_private = {OUR_INTERNET}\n")
        config.write("[report]\njitter = 0s\n"
                     f"contact_info = tlsrpt@{world.SENDER_DOMAIN}\n")
    machine.run("systemctl", "reload", *SERVICES)
    for unit in SERVICES:
        wait_for(lambda: "event=reloaded" in
                 machine.out("journalctl", "-u", unit), LIMIT, unit)
    found_in("secure match=mx.sts-enforce.test",
             machine.out("postern-policy", "query", STS), "query")


def wire(machine):
    """setup tells what it would change, changes it, and then has nothing"""
    machine.unwired = machine.postfix()
    shown = machine.run("postern-policy", "setup", check=False)
    equal(shown.returncode, 1, "exit status of setup")
    for name in ("smtp_tls_policy_maps", "smtp_dns_support_level"):
        found_in(rf"(?m)^ +{name} = ", shown.stdout, "setup")
    equal(machine.postfix(), machine.unwired, "Postfix after setup")
    machine.run("postern-policy", "setup", "--apply")
    assert machine.postfix() != machine.unwired
    again = machine.run("postern-policy", "setup")
    found_in("(?i)nothing to change", again.stdout, "setup once more")
    machine.run("postern-policy", "check-config")


def policies_are_applied(machine):
    """mail goes out by the policies, or not at all"""
    for domain in (STS, DANE):
        delivery = machine.delivery(domain)
        equal((delivery.status, delivery.tls), ("sent", "Verified"),
              f"mail to {domain}: {delivery}")
    delivery = machine.delivery(BAD)
    equal((delivery.status, delivery.tls), ("deferred", "Untrusted"),
          f"mail to {BAD}: {delivery}")


def read_the_log(machine):
    """As the handbook has it for a Postfix before 3.10."""
    with open(machine.path(CONFIG), "a") as config:
        config.write("[tlsrpt]\nmaillog = journal\n")
    machine.write("/etc/systemd/system/postern-policy.service.d/log.conf",
                  "[Service]\nSupplementaryGroups=systemd-journal\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "disable", "--now", "postern-tlsrpt.socket")
    machine.run("systemctl", "restart", "postern-policy")


def outcomes_are_spooled(machine):
    """how the sessions went is in the spool"""
    if not machine.tells_of_sessions():
        read_the_log(machine)
        machine.delivery(STS)
        machine.delivery(BAD)
    wait_for(lambda: {STS, BAD} <= {line["domain"] for line in
                                    machine.spool()}, LIMIT, "the spool")
    shown = machine.out("postern-policy", "failures")
    found_in(rf"{BAD} .*mx\.{BAD}", shown, "failures")


def reports_are_sent(machine):
    """the report of a day is mailed, from within the sandbox"""
    previewed = machine.out("postern-report", "preview", "--day", "today", STS)
    found_in('"total-successful-session-count": ?[1-9]', previewed, "preview")
    day = reported_day().isoformat()
    folder = machine.path("/var/spool/postern/outcomes")
    text = "".join(path.read_text() for path in folder.glob("*.jsonl"))
    machine.write(f"/var/spool/postern/outcomes/{day}.jsonl",
                  re.sub(r'"at":"[\d-]+T', f'"at":"{day}T', text))
    # serve would close the day ten minutes from its start; it delivers.
    found_in("postern-report serve delivers",
             machine.out("postern-report", "send", "--day", day), "send")
    equal(machine.out("stat", "-c", "%U", f"{REPORTED}/{day}"),
          "postern-report", "who marked the day")
    received = wait_for(lambda: machine.log.received(f"tls@{STS}"), LIMIT,
                        "the report")
    mail = email.message_from_bytes(
        (machine.internet.mail / received[0]["file"]).read_bytes())
    equal(mail["TLS-Report-Domain"], STS, "the report's domain")
    equal(mail["TLS-Report-Submitter"], world.SENDER_DOMAIN, "its submitter")
    wait_for(lambda: "delivered" in machine.run(
        "postern-report", "status", "--all", check=False).stdout, LIMIT,
        "the status")


def sockets_of_the_configuration(machine):
    """a socket that systemd does not hold is told of; mail goes on"""
    with open(machine.path(CONFIG), "a") as config:
        config.write(f"[milter]\nlisten = unix:{MILTER_SOCKET}\n"
                     f"[policy]\nmetrics_listen = inet:{METRICS}\n"
                     f"listen = unix:{SOCKET}\nlisten = unix:{SOCKET}2\n")
    machine.run("systemctl", "restart", "postern-policy")
    log = machine.out("journalctl", "-u", "postern-policy", "-n", "20")
    for key in ("policy.listen", "milter.listen"):
        found_in(f"event=not_listening key={key}", log, key)
    equal(machine.delivery(STS).tls, "Verified", "mail")
    found_in("(?m)^postern_answers_total", machine.metrics(), "metrics")
    machine.run("postern-policy", "setup", "--apply")
    found_in("milter.sock", machine.out("postconf", "-h", "smtpd_milters"),
             "smtpd_milters")


def more_sockets(machine):
    """the sockets that are not for all are systemd's once they are enabled"""
    machine.write("/etc/systemd/system/postern-policy.socket.d/more.conf",
                  f"[Socket]\nListenStream={SOCKET}2\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", *NOT_FOR_ALL)
    machine.run("systemctl", "stop", "postern-*.socket", "postern-policy")
    machine.run("systemctl", "start", *NOT_FOR_ALL, "postern-policy.socket",
                *["postern-tlsrpt.socket"] * machine.tells_of_sessions(),
                "postern-policy")
    found_in("(?m)^postern_answers_total", machine.metrics(), "metrics")
    for path in (MILTER_SOCKET, SOCKET + "2"):
        equal(machine.out("stat", "-c", "%a %U %G", path), "660 root postfix",
              path)

    def listening_for():
        log = machine.out("journalctl", "-u", "postern-policy", "-n", "20")
        return set(re.findall(r"event=listening socket=[^ ]+ for=(\w+)", log))
    wait_for(lambda: listening_for() >= {"policy", "milter", "metrics"}, LIMIT,
             "the log")


def kill(machine):
    """who kills the daemon is not noticed by mail"""
    for unit in SERVICES:
        machine.run("systemctl", "kill", "--signal=KILL", unit)
    delivery = machine.delivery(STS)
    equal((delivery.status, delivery.tls), ("sent", "Verified"), f"{delivery}")
    for unit in SERVICES:
        wait_for(lambda: machine.restarts(unit) == "1" and
                 machine.is_active(unit), LIMIT, f"the restart of {unit}")


def upgrade(machine):
    """an upgrade keeps sockets, policies, spool and configuration"""
    def kept():
        return {"socket": machine.out("stat", "-c", "%i", SOCKET),
                "policies": machine.out("postern-policy", "cache", "list",
                                        "--json"),
                "configuration": machine.path(CONFIG).read_text(),
                "Postfix": machine.postfix(),
                "units": [unit for unit in UNITS if machine.is_active(unit)]}
    before, spool = kept(), machine.spool()
    pid = machine.out("systemctl", "show", "-P", "MainPID",
                      "postern-policy.service")
    machine.run("apt-get", "install", "-y", "-o",
                "Dpkg::Options::=--force-confold", machine.newer_package())
    found_in("^ii 9", machine.out("dpkg-query", "--show", "--showformat",
                                  "${db:Status-Abbrev}${Version}", "postern"),
             "the version")
    assert pid != machine.out("systemctl", "show", "-P", "MainPID",
                              "postern-policy.service"), "no restart"
    changed = {name: value for name, value in kept().items()
               if value != before[name]}
    equal(changed, {}, "what the upgrade changed")
    equal(machine.spool()[:len(spool)], spool, "the spool")
    equal(machine.delivery(STS).tls, "Verified", "mail")


def remove(machine):
    """removing it takes the wiring out; mail goes out as before"""
    machine.run("apt-get", "remove", "-y", "postern")
    equal(machine.postfix(), machine.unwired, "Postfix")
    for unit in UNITS:
        assert not machine.is_active(unit), f"{unit} runs on"
    assert machine.path(CONFIG).exists(), "the configuration is gone"
    assert machine.path("/var/lib/postern/policies.db").exists(), \
        "the policies are gone"
    assert not machine.path(SOCKET).exists(), "the socket is left"
    for domain in (STS, BAD):  # nothing is demanded any more
        equal(machine.delivery(domain).status, "sent", f"mail to {domain}")


def purge(machine):
    """purging it leaves nothing of it; mail goes out"""
    machine.run("apt-get", "purge", "-y", "postern")
    left = machine.out(
        "find", "/", "-xdev", "-iname", "*postern*", "-not", "-path",
        PACKAGE, "-not", "-path", "/etc/systemd/system/*.d")
    equal(left, "", "files left")
    for database in ("passwd", "group"):
        assert "postern" not in machine.out("getent", database), database
    equal(machine.out("systemctl", "list-units", "--all", "--no-legend",
                      "postern*"), "", "units")
    equal(machine.postfix(), machine.unwired, "Postfix")
    equal(machine.delivery(STS).status, "sent", "mail")


def handbook(machine):
    """the commands of docs/operations.md, as they stand there"""
    equal(unmarked(), [], "commands that are neither run nor marked")
    for section, command in commands():
        done = machine.run("sh", "-c", f"cd /root && {for_this_world(command)}",
                           check=False)
        equal(done.returncode, TELLING.get(command, 0),
              f"{section}: {command}: {done.stdout[-2000:]}: exit status")
        if section == "Install":
            configure(machine)
        if command == "postern-policy setup --apply" and \
                not machine.tells_of_sessions():
            read_the_log(machine)


# Commands that tell by their exit status that there is something to do.
TELLING = {"postern-policy setup": 1, "postern-policy setup --remove": 1}


def for_this_world(command):
    return (command.replace("example.com", STS)
            .replace("postern_*.deb", PACKAGE.rpartition("/")[2]))


STEPS = [install, users_and_folders, kept_apart, units, configure, wire,
         policies_are_applied, outcomes_are_spooled, reports_are_sent,
         sockets_of_the_configuration, more_sockets, kill, upgrade,
         remove, purge]
HANDBOOK_STEPS = [handbook]  # on a machine of its own
