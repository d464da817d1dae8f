"""flood: hot answers while somebody asks about 1,000,000 names that are not.

A steady client asks about 1,000 domains, 5,000 times a second over 20
connections, in an open loop: latencies count from when a question was to be
sent. Beside it 50 connections ask about distinct names as fast as they can.
The daemon has a core of its own; all others share the other one, the steady
client first of all (late_p99_us: how late it was itself).

With the bench's Unbound; with a resolver that answers at once; with that one
and 500 connections; and with fewer lookups allowed than there are connections.
"""

import json
import signal
import time

import internet
import policy_database
from harness import (CACHED_KEYS, FAST_DNS, FOLDER, LOAD_CPU, SERVER_CPU,
                     answers, memory, metrics, print_table, progress)

RATE, CONNECTIONS = 5000, 20
MAX_BYTES_MIB = 64
HITS = "postern_answers_from_memory_total"
TOO_MANY = 'postern_temp_total{reason="too-many-lookups"}'

# resolver, connections of the flood, policy.max_lookups, of the names
FLOODS = (("unbound", 50, 1000, 1), ("fast", 50, 1000, 1),
          ("fast", 500, 1000, .2), ("fast", 50, 20, .2))

# The first thousand are hot; the second are only asked about at the end.
REMEMBERED = 2 * CACHED_KEYS


def measure(bench):
    source = FOLDER / "remembered"
    policy_database.create(bench, source, map(internet.sts_domain,
                                              range(REMEMBERED)))
    hot_rows, rows = [], []
    for resolver, connections, lookups, part in FLOODS:
        keys = bench.key_file("flood", lambda i: f"x{i:07d}.sts.test",
                              count=int(part * bench.options.flood))
        hot, row = attack(bench, source, resolver, lookups, keys, connections)
        hot_rows += hot
        rows.append(row)
    print_table(f"{RATE:,} hot answers a second, open loop over {CONNECTIONS} "
                "connections", "resolver flood max_lookups state seconds "
                "p50_us p99_us p99.9_us max_us late_p99_us not_from_memory "
                "answers", hot_rows)
    print_table(f"What the flood meets, cache.max_bytes = {MAX_BYTES_MIB}MiB",
                "resolver flood max_lookups names names/s p50_ms p99_ms "
                "daemon_cpu too_many_lookups table_entries table_MiB "
                "peak_rss_MiB remembered_after answers", rows)


def attack(bench, source, resolver, lookups, keys, connections):
    folder = policy_database.copy(source, FOLDER / "state")
    net = bench.net
    with bench.fast_resolver(policy_database.POLICY_ID):
        net.restart_unbound()
        for name in ("unbound", "knot", "nginx"):
            net.pin(name, LOAD_CPU)
        with bench.daemon(
                SERVER_CPU, cache__directory=folder,
                cache__max_bytes=f"{MAX_BYTES_MIB}MiB",
                policy__max_lookups=lookups,
                dns__server=FAST_DNS if resolver == "fast" else "127.0.0.1",
                ) as pid:
            return attacked(bench, pid, keys, connections,
                            (resolver, connections, lookups))


def attacked(bench, pid, keys, connections, cells):
    hot_keys = bench.key_file("hot", internet.sts_domain, count=CACHED_KEYS)
    bench.load(bench.socket, hot_keys, "--once", "--connections", 10)
    bench.warm_up(hot_keys, "ok_secure")
    # Refreshed or settled in the background: lets that come to its end.
    time.sleep(1)
    calm = Steady(bench, hot_keys)
    with calm:
        time.sleep(bench.options.calm_seconds)
        quiet = calm.end()
    before = metrics()
    meanwhile = Steady(bench, hot_keys)
    with meanwhile:
        flood = bench.load(bench.socket, keys, "--once", "--connections",
                           connections, cpu=LOAD_CPU, pids=[pid])
        loaded = meanwhile.end()
    after = metrics()
    loaded["hits"] = after[HITS] - before[HITS]
    quiet["hits"] = before[HITS] - calm.hits_before
    rest = bench.key_file("rest", internet.sts_domain, first=CACHED_KEYS,
                          count=REMEMBERED - CACHED_KEYS)
    still = bench.load(bench.socket, rest, "--once", "--connections", 10)
    progress(f"{cells[0]}: {flood['requests_per_second']:,.0f} names/s, hot "
             f"p99 {quiet['p99_us']:.0f} us, then {loaded['p99_us']:.0f} us")
    hot_rows = [(*cells, state, *hot_cells(run))
                for state, run in (("quiet", quiet), ("flood", loaded))]
    usage = flood["processes"][0]
    return hot_rows, (
        *cells, f"{flood['replies']:,}",
        f"{flood['requests_per_second']:,.0f}",
        f"{flood['p50_us'] / 1e3:.1f}", f"{flood['p99_us'] / 1e3:.1f}",
        f"{100 * usage['cpu_seconds'] / flood['elapsed_seconds']:.0f} %",
        f"{after[TOO_MANY] - before[TOO_MANY]:,.0f}",
        f"{after['postern_table_entries']:,.0f}",
        f"{after['postern_table_bytes'] / 2**20:.1f}",
        f"{memory(pid)[1]:.1f}",
        f"{still['ok_secure']} of {REMEMBERED - CACHED_KEYS}", answers(flood))


class Steady:
    """The steady client, while the context lasts."""

    def __init__(self, bench, keys):
        self.hits_before = metrics()[HITS]
        self.background = bench.background(
            bench.socket, keys, "--connections", CONNECTIONS, "--rate", RATE,
            "--seconds", 3600, "--realtime", cpu=LOAD_CPU)

    def __enter__(self):
        self.process = self.background.__enter__()
        return self

    def __exit__(self, *error):
        return self.background.__exit__(*error)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return json.loads(self.process.communicate()[0])


def hot_cells(run):
    return (f"{run['elapsed_seconds']:.0f}",
            *(f"{run[column]:.0f}" for column in (
                "p50_us", "p99_us", "p999_us", "max_us", "late_p99_us")),
            f"{max(run['replies'] - run['hits'], 0):.0f}", answers(run))
