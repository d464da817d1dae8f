"""The file of remembered policies: corrupt, full, read-only, old."""

import contextlib
import pathlib
import sqlite3
import subprocess
import time

from cases import secure
from checks import STS, equal, found_in
from daemon import ask
from testnet import PATIENCE, wait_for

WILDCARD = "sts-wildcard.test"
ANSWERS = {STS: secure("mx." + STS), WILDCARD: secure("." + WILDCARD)}
NOBODY = "127.0.0.9"  # no resolver
ERRORS = "postern_store_errors_total"
# As the first version made it.
VERSION_1 = """
CREATE TABLE policies(
  domain TEXT PRIMARY KEY NOT NULL,
  id TEXT NOT NULL,
  policy TEXT,
  fetched_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  refetch_at INTEGER NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = 0x5053544e;
PRAGMA user_version = 1;
"""


def is_answered(domain, when):
    equal(ask(domain), ANSWERS[domain], f"{domain} {when}")


def corrupt_file(bench):
    """Kept under another name, said loudly, counted; answers go on."""
    with bench.daemon("corrupt") as daemon:
        is_answered(STS, "before")
        equal(daemon.stop(), 0, "exit status")
        path = daemon.policy_file()
        good = path.read_bytes()
        for what, data in (("garbage over the header",
                            b"garbage!" * 32 + good[256:]),
                           ("half of it", good[:len(good) // 2]),
                           ("nothing", b"")):
            path.write_bytes(data)
            daemon.start()
            is_answered(STS, f"from a file with {what}")
            found_in("level=error event=policy_file_set_aside",
                     daemon.since_start(), what)
            line = found_in(r"event=policies_taken_over from=(\S+)",
                            daemon.since_start(), what)
            equal(pathlib.Path(line[1]).read_bytes(), data, "what is kept")
            equal(daemon.metric("postern_store_set_aside_total"), 1, what)
            assert daemon.remembered(STS), f"nothing remembered after {what}"
            equal(daemon.stop(), 0, "exit status")
        kept = [k for k in path.parent.glob(path.name + ".unreadable-*")
                if k.name.endswith(".taken")]
        equal(len(kept), 3, "files kept")


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=512k,mode=750", "tmpfs", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def fill(path):
    with contextlib.suppress(OSError), open(path, "wb", 0) as file:
        while True:
            file.write(bytes(4096))


def no_room_on_disk(bench):
    """Read-only, then full: policies wait in memory for better times."""
    daemon = bench.daemon("noroom")
    with small_disk(daemon.cache):
        mount("-o", "remount,ro", daemon.cache)
        with daemon:
            is_answered(STS, "with a read-only disk")
            found_in("event=policy_file_failed", daemon.text(), "the log")
            assert daemon.metric(ERRORS) > 0, "not counted"
            assert not daemon.policy_file().exists(), "it was not read-only"
            mount("-o", "remount,rw", daemon.cache)
            wait_for(lambda: daemon.policy_file().exists() and
                     daemon.remembered(STS), PATIENCE,
                     "the policy on the disk that is writable again")

            filler = daemon.cache / "filler"
            fill(filler)
            errors = daemon.metric(ERRORS)
            is_answered(WILDCARD, "with a full disk")
            wait_for(lambda: daemon.metric(ERRORS) > errors, PATIENCE,
                     "an error that is counted")
            assert not daemon.remembered(WILDCARD), "the disk was not full"
            equal(ask(WILDCARD + ":587"), ANSWERS[WILDCARD],
                  "the policy in memory")
            filler.unlink()
            wait_for(lambda: daemon.remembered(WILDCARD), PATIENCE,
                     "the policy on the disk that has room again")
            assert daemon.remembered(STS), "the first policy is gone"
            daemon.check_alive()


def restart_without_room(bench):
    """What is on a disk that takes nothing still counts, after kill -9, too."""
    daemon = bench.daemon("noroomagain")
    with small_disk(daemon.cache):
        with daemon:
            is_answered(STS, "before")
            daemon.kill()
            daemon.configure(dane__enabled="no", dns__server=NOBODY,
                             dns__timeout="1s")
            mount("-o", "remount,ro", daemon.cache)
            daemon.start()
            is_answered(STS, "from a read-only disk")
            daemon.kill()
            mount("-o", "remount,rw", daemon.cache)
            filler = daemon.cache / "filler"
            fill(filler)
            daemon.start()
            is_answered(STS, "from a full disk")
            filler.unlink()
            daemon.configure()
            daemon.reload()
            is_answered(WILDCARD, "with room again")
            wait_for(lambda: daemon.remembered(WILDCARD), PATIENCE,
                     "the policy on the disk that has room again")
            assert daemon.remembered(STS), "the first policy is gone"


def upgraded_file(bench):
    """A file of the first version is taken over: nobody is talked down."""
    domain = "long-gone.test"
    text = (f"version: STSv1\r\nmode: enforce\r\nmx: mx.{domain}\r\n"
            "max_age: 86400\r\n")
    daemon = bench.daemon("upgraded")
    daemon.cache.mkdir()
    now = int(time.time())
    with contextlib.closing(sqlite3.connect(daemon.policy_file())) as db:
        db.executescript(VERSION_1)
        db.execute("INSERT INTO policies VALUES(?, ?, ?, ?, ?, ?)",
                   (domain, "1", text, now - 100, now + 86300, now + 40000))
        db.commit()
    with daemon:
        found_in(r"event=policy_file_upgraded .*from=1\b", daemon.text(),
                 "the log")
        equal(ask(domain), secure("mx." + domain), "reply")
        equal(daemon.metric("postern_store_set_aside_total"), 0, "set aside")


SCENARIOS = [corrupt_file, no_room_on_disk, restart_without_room,
             upgraded_file]
