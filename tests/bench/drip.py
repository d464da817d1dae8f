"""drip: what 1,000 policy hosts that send a byte a second do to others.

Cached answers beside the bare server, and cold lookups of healthy domains, 50
a second in an open loop; before, and while the hosts drip. The same server
(drip_server.py) serves the healthy MTA-STS domains in both cases.
"""

import contextlib
import sys
import time

import cached
import internet
from harness import (CACHED_KEYS, DRIPPING, FOLDER, HERE, SERVER_CPU, accepts,
                     answers, ask, print_table)

CONNECTIONS = 100
COLD = 100          # healthy domains of a kind, each state
COLD_RATE = 50
# Numbers of sts.test: the dripping, the cached, the healthy.
HEALTHY = DRIPPING + CACHED_KEYS
DOMAINS = HEALTHY + 3 * COLD


def measure(bench):
    keys = bench.key_file("cached", internet.sts_domain, first=DRIPPING,
                          count=CACHED_KEYS)
    drip_keys = bench.key_file("drip", internet.sts_domain, count=DRIPPING)
    rows, cold_rows = [], []

    def measure_all(state, number, limit):
        cold_rows.extend(cold(bench, state, number, limit))
        rows.extend(cached.table_rows(state, cached.side_by_side(
            bench, {"bare": bare, "postern": (bench.socket, pid)}, keys,
            CONNECTIONS)))

    with bench.daemon(SERVER_CPU) as pid:
        bench.warm_up(keys, "ok_secure")
        with bench.bare_server(ask(bench.socket, internet.sts_domain(
                DRIPPING))) as bare:
            bench.net.stop("nginx")
            with drip_server(bench) as count:
                measure_all("quiet", 0, 1000)
                start_dripping(bench, drip_keys)
                started = time.monotonic()
                measure_all(f"{count()} dripping", 1, 1000)
                print(f"  still dripping after {time.monotonic() - started:.0f}"
                      f" s: {count()}", file=sys.stderr)
    # With all places for fetches taken, and with room.
    with bench.daemon(SERVER_CPU, sts__max_fetches=2000):
        with drip_server(bench) as count:
            start_dripping(bench, drip_keys)
            cold_rows += cold(bench, f"{count()} dripping", 2, 2000)
    bench.net.start_nginx()
    print_table(f"Cached answers while policy hosts drip, {CONNECTIONS} "
                f"connections, median of {bench.options.rounds}",
                f"state {cached.COLUMNS}", rows)
    print_table(f"Cold lookups of healthy domains while policy hosts drip, "
                f"{COLD_RATE} a second",
                "state sts.max_fetches kind domains p50_ms p99_ms max_ms "
                "answers", cold_rows)


def cold(bench, state, number, limit):
    for kind, domain in (("dane", internet.dane_domain),
                         ("sts", internet.sts_domain)):
        keys = bench.key_file("healthy", domain,
                              first=HEALTHY + number * COLD, count=COLD)
        result = bench.load(bench.socket, keys, "--once", "--connections",
                            COLD, "--rate", COLD_RATE, "--seconds", 30)
        yield (state, limit, kind, COLD, f"{result['p50_us'] / 1e3:.1f}",
               f"{result['p99_us'] / 1e3:.1f}",
               f"{result['max_us'] / 1e3:.1f}", answers(result))


@contextlib.contextmanager
def drip_server(bench):
    """Yields a function that tells how many connections drip now."""
    net = bench.net
    log = FOLDER / "drip.log"

    def count():
        words = log.read_text().split()
        return int(words[-1]) if words else 0

    net.spawn("drip", "/usr/bin/python3", HERE / "drip_server.py",
              FOLDER / "tls", HEALTHY)
    try:
        net.wait_for("drip", lambda: accepts("inet:127.0.0.1:443"))
        yield count
    finally:
        net.stop("drip")


def start_dripping(bench, keys):
    bench.load(bench.socket, keys, "--once", "--connections", DRIPPING,
               "--seconds", "30")
