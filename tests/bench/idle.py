"""idle: memory of connections, and of lookups that hang."""

import json
import time

import internet
from harness import DRIPPING, answers, memory, print_table

IDLE = 10000


def measure(bench):
    rows = []

    def row(what):
        rows.append((what, *(f"{mib:.1f}" for mib in memory(pid))))

    keys = bench.key_file("idle", internet.dane_domain, count=DRIPPING)
    with bench.daemon() as pid:
        row("at start")
        with bench.background(bench.socket, keys, "--idle", IDLE, "--seconds",
                              4):
            time.sleep(3)
            row(f"{IDLE} idle connections, one busy on {DRIPPING} domains")
        bench.net.freeze_resolver()
        keys = bench.key_file("idle", internet.dane_domain, first=DRIPPING,
                              count=DRIPPING)
        with bench.background(bench.socket, keys, "--idle", IDLE, "--once",
                              "--connections", DRIPPING) as load:
            time.sleep(3)
            row(f"{IDLE} idle connections, {DRIPPING} lookups in flight")
            result = json.loads(load.communicate()[0])
        row("after them")
    bench.net.restart_unbound()
    print_table("Memory", "when rss_MiB peak_MiB", rows)
    print(f"The lookups ended as: {answers(result)}; "
          f"slowest {result['max_us'] / 1e6:.1f} s")
