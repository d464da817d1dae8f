"""remembered: a restart with 1,000,000 policies on disk.

Each round: a daemon notes the use of 1,000 domains and is killed (SIGKILL), so
that the file has a log to recover; then, from exec, the time to the first
answer for a remembered domain. Once with the file in the page cache, once with
it dropped from there (whatever caches lie below remain). The resolver takes
questions and never answers; what is remembered is answered all the same.

Last, a purge from beside the running daemon must not hold up the others'
answers.
"""

import contextlib
import json
import socket
import statistics
import subprocess
import time

import internet
import policy_database
from harness import (FAST_DNS, FOLDER, IN_FLIGHT, answers, ask, memory,
                     print_table)
from policy_database import many_domain

ASKED = 1000        # whose use is noted, before the daemon is killed
DEAD_ASKED = 500    # with a dead resolver: fewer than policy.max_lookups
PURGE_RATE = 500    # first questions a second beside a purge


def measure(bench):
    count = bench.options.policies
    source = policy_database.cached(bench, count)
    folder = policy_database.copy(source, source.parent / "state")
    size = (folder / policy_database.NAME).stat().st_size
    rows = []
    for state in ("warm", "dropped"):
        rounds = [restart(bench, folder, number, state == "dropped")
                  for number in range(bench.options.rounds)]
        ready = [seconds * 1e3 for seconds, _ in rounds]
        rows.append((f"{count:,}", f"{size / 2**20:.0f}", state,
                     f"{min(ready):.0f}", f"{statistics.median(ready):.0f}",
                     f"{max(ready):.0f}",
                     f"{statistics.median(rss for _, rss in rounds):.1f}"))
    print_table(f"From exec to the first answer after a kill, "
                f"{bench.options.rounds} times",
                "policies file_MiB page_cache best_ms median_ms worst_ms "
                "rss_MiB", rows)
    rows = [first_questions(bench, folder, alive) for alive in (False, True)]
    print_table("First questions about remembered domains",
                "resolver domains connections domains/s p50_ms p99_ms max_ms "
                "rss_before_MiB rss_after_MiB answers", rows)
    rows = [beside_purge(bench, folder, purges) for purges in (0, 1, 2)]
    print_table(f"First questions beside `cache purge DOMAIN`, {PURGE_RATE} a "
                "second", "purges p50_ms p99_ms max_ms answers", rows)


@contextlib.contextmanager
def dead_resolver():
    """Takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 5301))
        yield "127.0.0.1:5301"


def settings(folder, resolver):
    return {"cache__directory": folder, "dane__enabled": "no",
            "dns__server": resolver}


def restart(bench, folder, number, drop):
    """Seconds until a daemon answers after a kill, and its memory then."""
    first = number * ASKED
    keys = bench.key_file("noted", many_domain, first=first, count=ASKED)
    with bench.fast_resolver(policy_database.POLICY_ID):
        with bench.daemon(**settings(folder, FAST_DNS)):
            bench.warm_up(keys, "ok_secure")
            time.sleep(0.2)     # the uses are written after the answers
            bench.net.kill("postern")
    if drop:
        policy_database.drop_from_page_cache(folder)
    with dead_resolver() as resolver:
        config = bench.config(**settings(folder, resolver))
        domain = many_domain(bench.options.policies - 1 - number)
        started = time.monotonic()
        with open(FOLDER / "postern.log", "ab") as log, subprocess.Popen(
                [bench.options.daemon, "serve", "--config", config],
                stderr=log) as daemon:
            reply = first_answer(bench.socket, domain, started + 60)
            seconds = time.monotonic() - started
            rss = memory(daemon.pid)[0]
            daemon.kill()
    if not reply.startswith("OK secure "):
        raise RuntimeError(f"{domain} is answered {reply!r}")
    return seconds, rss


def first_answer(endpoint, domain, deadline):
    while True:
        try:
            return ask(endpoint, domain)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def first_questions(bench, folder, alive):
    first = 10 * ASKED  # not asked about before
    count = min(bench.options.policies - first, 20 * ASKED)
    count = count if alive else DEAD_ASKED
    keys = bench.key_file("first", many_domain,
                          first=bench.options.policies - count, count=count)
    connections = IN_FLIGHT if alive else 1
    with contextlib.ExitStack() as stack:
        if alive:
            stack.enter_context(
                bench.fast_resolver(policy_database.POLICY_ID))
            resolver = FAST_DNS
        else:
            resolver = stack.enter_context(dead_resolver())
        pid = stack.enter_context(bench.daemon(**settings(folder, resolver)))
        ask(bench.socket, many_domain(0))   # it has started, by then
        before = memory(pid)[0]
        result = bench.load(bench.socket, keys, "--once", "--connections",
                            connections)
        after = memory(pid)[0]
    return ("answers" if alive else "silent", count, connections,
            f"{result['requests_per_second']:,.0f}",
            *(f"{result[column] / 1e3:.1f}"
              for column in ("p50_us", "p99_us", "max_us")),
            f"{before:.1f}", f"{after:.1f}", answers(result))


def beside_purge(bench, folder, purges):
    count = 4 * PURGE_RATE
    first = bench.options.policies // 2 + purges * count
    keys = bench.key_file("beside", many_domain, first=first, count=count)
    config = settings(folder, FAST_DNS)
    with bench.fast_resolver(policy_database.POLICY_ID), \
            bench.daemon(**config):
        ask(bench.socket, many_domain(0))   # it has started, by then
        with bench.background(bench.socket, keys, "--once", "--rate",
                              PURGE_RATE, "--connections", 50) as load:
            for number in range(purges):
                time.sleep(1)
                internet.run(bench.options.daemon, "cache", "purge",
                             many_domain(number), "--config",
                             bench.config(**config))
            result = json.loads(load.communicate()[0])
    return (purges, *(f"{result[column] / 1e3:.1f}"
                      for column in ("p50_us", "p99_us", "max_us")),
            answers(result))
