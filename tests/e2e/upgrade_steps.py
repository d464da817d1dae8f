"""What is expected of an upgrade from version 0.1.0, and of the way back:
UPGRADE_STEPS, in their order, on a machine of their own."""

import json
import os
import shutil

from checks import STS, equal, found_in
from daemon import OUR_INTERNET
from package_steps import (CONFIG, GROUPS, LIMIT, MILTER_SOCKET, PACKAGE,
                           QUEUE, SERVICES, SOCKET, SOCKETS, purge)
from reporting import reported_day
from testnet import wait_for
from tlsrpt import outcome

FIRST = "/root/first.deb"
OLD_QUEUE = "/var/spool/postern/reports"
OUTCOMES = "/var/spool/postern/outcomes"
KEY = "/etc/postern/tlsrpt.pem"
EXPOSED_KEY = "/srv/keys/other.pem"  # in a folder of postern's


def use_first(machine):
    """0.1.0 is installed, wired and used: policies, a spool, keys, a queue"""
    shutil.copy(os.environ["POSTERN_FIRST_PACKAGE"], machine.path(FIRST))
    machine.run("apt-get", "install", "-y", FIRST, "postfix")
    machine.run("openssl", "genrsa", "-out", KEY, "2048")
    machine.run("install", "-d", "-o", "postern", "/srv/keys")
    machine.run("cp", KEY, EXPOSED_KEY)
    for key in (KEY, EXPOSED_KEY):
        machine.run("chgrp", "postern", key)
        machine.run("chmod", "640", key)
    with open(machine.path(CONFIG), "a") as config:
        config.write(f"[sts]\nallow_private = {OUR_INTERNET}\n"
                     "[report]\njitter = 0s\n"
                     "sendmail = /bin/false  # so that they wait\n"
                     f"dkim_key = {KEY}\ndkim_selector = one\n"
                     f"dkim_key = {EXPOSED_KEY}\ndkim_selector = two\n"
                     f"[milter]\nlisten = unix:{MILTER_SOCKET}\n")
    machine.run("systemctl", "stop", "postern-report")
    day = reported_day().isoformat()
    machine.run("install", "-o", "postern", "-g", "postern", "-m", "640",
                "/dev/null", f"{OUTCOMES}/{day}.jsonl")
    machine.write(f"{OUTCOMES}/{day}.jsonl", json.dumps(
        {"at": f"{day}T13:05:09Z", **outcome(STS)},
        separators=(",", ":")) + "\n")
    machine.run("find", OLD_QUEUE, "-type", "f", "-delete")
    machine.run("systemctl", "restart", *SERVICES)
    machine.unwired = machine.postfix()
    machine.run("postern-policy", "setup", "--apply", check=False)
    equal(machine.delivery(STS).tls, "Verified", "mail")
    wait_for(lambda: waiting(machine), LIMIT, "a report that waits")
    machine.kept = kept(machine)


def waiting(machine):
    """The reports in the queue: their ids, and where they go."""
    said = machine.run("postern-report", "status", "--all", "--json",
                       check=False).stdout
    if not said.startswith("{"):
        return []
    return [(one["report-id"], one["destination"], one["state"])
            for one in json.loads(said)["deliveries"]]


def kept(machine):
    """What neither way may change."""
    spool = machine.path(OUTCOMES)
    return {"queue": waiting(machine),
            "spool": {file.name: file.read_text()
                      for file in spool.glob("*.jsonl")},
            "policies": [json.loads(line)["domain"] for line in machine.out(
                "postern-policy", "cache", "list", "--json").splitlines()],
            "configuration": machine.path(CONFIG).read_text(),
            "Postfix": machine.postfix()}


def is_kept(machine):
    for service in (*SERVICES, *SOCKETS, "postern-policy.service"):
        wait_for(lambda: machine.is_active(service), LIMIT, service)
    wait_for(lambda: kept(machine)["queue"], LIMIT, "the queue")
    now = kept(machine)
    equal({name: now[name] for name in now if now[name] != machine.kept[name]},
          {}, "what was changed")
    assert machine.kept["queue"] and machine.kept["policies"], machine.kept
    equal(machine.delivery(STS).tls, "Verified", "mail")


def belongs(machine, *files):
    for path, wanted in files:
        equal(machine.out("stat", "-c", "%a %U %G", path), wanted, path)


def install(machine, package, *options):
    return machine.out("apt-get", "install", "-y", *options, "-o",
                       "Dpkg::Options::=--force-confold", package)


def upgrade(machine):
    """an upgrade moves queue and keys to postern-report; nothing is lost"""
    said = install(machine, PACKAGE)
    is_kept(machine)
    for user, groups in GROUPS.items():
        equal(machine.out("id", "-nG", user).split(), groups, user)
    belongs(machine, (KEY, "640 root postern-report"),
            (EXPOSED_KEY, "640 root postern"),
            (QUEUE, "700 postern-report postern-report"),
            (f"{QUEUE}/reports.db", "640 postern-report postern-report"),
            ("/var/lib/postern", "700 postern postern"),
            ("/var/spool/postern", "750 root postern"),
            (OUTCOMES, "2750 postern postern"),
            ("/var/spool/postfix/postern", "750 root postfix"),
            (SOCKET, "660 root postfix"), (MILTER_SOCKET, "660 root postfix"))
    found_in(f"{EXPOSED_KEY} is not in a folder of root's alone", said, "apt")
    assert not machine.path(OLD_QUEUE).exists(), f"{OLD_QUEUE} is left"
    assert machine.is_active("postern-milter.socket"), "no milter"
    found_in("event=listening .*for=milter",
             machine.out("journalctl", "-u", "postern-policy"), "the milter")
    found_in("event=queue_taken_over",
             machine.out("journalctl", "-u", "postern-report"), "the queue")


def downgrade(machine):
    """0.1.0 finds its queue, and can read the key, when it is back"""
    install(machine, FIRST, "--allow-downgrades")
    is_kept(machine)
    belongs(machine, (KEY, "640 root postern"),
            (f"{OLD_QUEUE}/reports.db", "640 postern postern"))
    equal(machine.run("getent", "passwd", "postern-report",
                      check=False).stdout, "", "user postern-report")
    assert not machine.path(QUEUE).exists(), f"{QUEUE} is left"


def upgrade_again(machine):
    """and the second upgrade is as the first"""
    upgrade(machine)


def leave(machine):
    """purging it leaves nothing of either version"""
    machine.run("rm", KEY)
    purge(machine)


UPGRADE_STEPS = [use_first, upgrade, downgrade, upgrade_again, leave]
