"""What is remembered holds, is kept on disk, and is kept fresh."""

import contextlib
import dataclasses
import socket
import sqlite3
import subprocess
import time

import world
from cases import NONE, NOT_VERIFIED, secure
from checks import equal, found_in
from daemon import ask
from testnet import PATIENCE, wait_for

KEPT = [d for d in world.DOMAINS if d.name.startswith("kept-")]
SILENT = "127.0.0.9"  # a resolver that never answers
LOOKUPS = "postern_lookups_in_flight"
# What becomes of them; each with a new id where there is a TXT record.
RUIN = {
    "kept-absent": {"txt": ()},
    "kept-bogus": {"bogus": ("_mta-sts TXT",)},
    "kept-nxdomain": {},  # the resolver lies
    "kept-null-mx": {"mx": (".",), "id": "2"},
    "kept-refused": {"web": "refused", "id": "2"},
    "kept-404": {"web": "404", "id": "2"},
    "kept-impostor": {"web": "impostor", "id": "2", "mode": "none"},
    "kept-invalid": {"text": "version: STSv1\r\nmode: none\r\n", "id": "2"},
}
FETCH_FAILS = {
    "kept-refused": "refused", "kept-404": "404",
    "kept-impostor": "certificate", "kept-invalid": "invalid policy"}
TAKES_MAIL = [n for n in RUIN if n not in ("kept-nxdomain", "kept-null-mx")]


def change(bench, domain, **changes):
    """Publishes a Domain with these fields, of itself or of its policy."""
    of_domain = {k: v for k, v in changes.items() if k in ("mx", "bogus")}
    of_sts = {k: v for k, v in changes.items() if k not in of_domain}
    changed = dataclasses.replace(domain, **of_domain,
                                  sts=dataclasses.replace(domain.sts, **of_sts))
    bench.internet.publish(changed)


def own_policy(domain):
    return secure("mx." + domain.fqdn)


def all_are_secure(suffix, when):
    for domain in KEPT:
        equal(ask(domain.fqdn + suffix), own_policy(domain),
              f"{domain.name} {when}")


def never_talked_down(bench):
    """Nothing but a valid new policy ends an old one, kill -9 or not."""
    new_id = world.BY_NAME["sts-new-id"]
    names = bench.internet.names
    with bench.daemon("kept") as daemon:
        equal(ask(new_id.fqdn), own_policy(new_id), new_id.name)
        all_are_secure("", "before")
        daemon.kill()  # right after the last answer

        for name, changes in RUIN.items():
            change(bench, world.BY_NAME[name], **changes)
        subprocess.run(names.control("127.0.0.1", "local_zone",
                                     "kept-nxdomain.test.", "always_nxdomain"),
                       check=True)
        daemon.configure(dane__enabled="no", dns__server=SILENT,
                         dns__timeout="30s")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
            resolver.bind((SILENT, 53))
            daemon.start()
            all_are_secure("", "without any network")
            equal(daemon.metric(LOOKUPS), len(KEPT),
                  "lookups that go on: no answer has waited for them")

        daemon.configure()
        found_in("event=reloaded", daemon.reload(), "the log")
        all_are_secure("", "in a ruined world")
        # other ports are other questions: nothing is known in memory
        all_are_secure(":587", "in a ruined world, looked up")
        for name, reason in FETCH_FAILS.items():
            failed = wait_for(lambda: fetch_failure(daemon, name), PATIENCE,
                              f"the fetch of {name}")
            assert reason in failed, f"{name} failed because of {failed!r}"
        all_are_secure(":465", "after the failures")
        recipients = {name: bench.send(world.BY_NAME[name].fqdn)
                      for name in TAKES_MAIL}
        for name, recipient in recipients.items():
            delivery = bench.wait(recipient)
            equal(delivery.status, "deferred", f"mail to {name}")
            assert NOT_VERIFIED in delivery.reason, delivery
        new_policies_count(bench, daemon)


def fetch_failure(daemon, name):
    shown = daemon.remembered(world.BY_NAME[name].fqdn)
    assert shown and shown["mode"] == "enforce", f"{name}: {shown}"
    return shown.get("failure", {}).get("reason")


def new_policies_count(bench, daemon):
    """Two owners change their mind, properly."""
    for name, mode in (("kept-404", "none"), ("sts-new-id", "testing")):
        domain = world.BY_NAME[name]
        change(bench, domain, id="3", mode=mode)
        equal(ask(domain.fqdn + ":26"), own_policy(domain),
              f"{name}, while its new policy is fetched")
        wait_for(lambda: ask(domain.fqdn) == NONE, PATIENCE,
                 f"the new policy of {name}")
        shown = daemon.remembered(domain.fqdn)
        equal((shown["mode"], shown["id"]), (mode, "3"), name)
    delivery = bench.send_and_wait("kept-404.test")
    equal((delivery.status, delivery.tls), ("sent", "Trusted"),
          "mail without a policy")


def refreshed_without_a_question(bench):
    """A policy that is due is fetched again though nobody asks."""
    domain = world.BY_NAME["sts-refreshed"]
    with bench.daemon("refreshed") as daemon:
        equal(ask(domain.fqdn), own_policy(domain), "reply")
        equal(daemon.stop(), 0, "exit status")
        change(bench, domain, id="2", mode="testing")
        past = int(time.time()) - 10
        with contextlib.closing(sqlite3.connect(daemon.policy_file())) as db:
            db.execute("UPDATE policies SET check_at = ?, refetch_at = ?",
                       (past, past))
            db.commit()
        daemon.start()
        shown = wait_for(
            lambda: (s := daemon.remembered(domain.fqdn))["id"] == "2" and s,
            PATIENCE, "the refresh")
        equal((shown["mode"], shown["in-force"]), ("testing", True), "policy")
        equal(daemon.metric("postern_connections_total"), 0, "connections")
        equal(ask(domain.fqdn), NONE, "reply")


SCENARIOS = [never_talked_down, refreshed_without_a_question]
