"""Policy files (policies.db) with as many policies as one wants.

Why not by lookups: a million of them take hours. The daemon itself makes the
empty file, so that the schema is its own; rows are put in as
policy_schema.cc writes them (WriteRow).

The policies expire in ten years and were last used a month ago, so that none
is due for a refresh. The first lookup of each is written down.
"""

import os
import random
import shutil
import sqlite3
import time
from pathlib import Path

from harness import empty

POLICY_ID = "1"     # of every row; internet.py's TXT records have it, too
NAME = "policies.db"
COLUMNS = ("domain", "id", "policy", "fetched_at", "expires_at", "refetch_at",
           "check_at", "used_at")
FAR = 10 * 365 * 86400
IDLE = 31 * 86400


def many_domain(number):
    """For more domains than internet.py has names for."""
    return f"s{number:07d}.sts.test"


def policy_text(domain):
    """As StsPolicyText writes it."""
    return (f"version:STSv1\nmode:enforce\nmx:mx.{domain}\n"
            f"mx:*.backup.{domain}\nmax_age:604800")


def create(bench, folder, domains):
    """Makes `folder` with policies for all of `domains`."""
    folder.mkdir(parents=True, exist_ok=True)
    empty(folder)
    with bench.daemon(cache__directory=folder):
        pass
    now = int(time.time())
    moments = random.Random(1)
    with sqlite3.connect(folder / NAME) as database:
        insert = (f"INSERT INTO policies({','.join(COLUMNS)}) "
                  f"VALUES({','.join('?' * len(COLUMNS))})")
        database.executemany(insert, (
            (domain, POLICY_ID, policy_text(domain), now, now + FAR, now + FAR,
             now + FAR + moments.randrange(3600), now - IDLE)
            for domain in domains))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def schema_version(folder):
    database = sqlite3.connect(folder / NAME)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    return version


def cached(bench, count):
    """A folder with policies of many_domain(0) to (count - 1).

    Kept for later runs outside of the source tree; not to be written to. The
    2 in its name is the version of what this module writes.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = home / "postern-bench"
    probe = home / "probe"
    create(bench, probe, [])
    folder = home / f"policies-2-schema{schema_version(probe)}-{count}"
    if not (folder / NAME).exists():
        create(bench, probe, map(many_domain, range(count)))
        shutil.rmtree(folder, ignore_errors=True)
        probe.rename(folder)
    shutil.rmtree(probe, ignore_errors=True)
    return folder


def copy(source, folder):
    """A working copy, on the disk by when this returns."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    os.sync()
    return folder


def drop_from_page_cache(folder):
    os.sync()
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
