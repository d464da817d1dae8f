"""cached: answers from memory beside a bare epoll server that thinks nothing.

Same load program, same keys, same reply length, a core for the server and one
for the load; runs are interleaved, as the machine drifts.
"""

import internet
from harness import (CACHED_KEYS, SERVER_CPU, answers, ask, median,
                     print_table, ratio, rss, share)

COLUMNS = ("server req/s ratio p50_us p99_us p99_ratio server_cpu "
           "req/cpu_ratio rss_MiB answers")


def measure(bench):
    keys = bench.key_file("cached", internet.sts_domain, count=CACHED_KEYS)
    rows = []
    with bench.daemon(SERVER_CPU) as pid:
        bench.warm_up(keys, "ok_secure")
        reply = ask(bench.socket, internet.sts_domain(0))
        with bench.bare_server(reply) as (bare_endpoint, bare_pid):
            contenders = {"bare": (bare_endpoint, bare_pid),
                          "postern": (bench.socket, pid)}
            for connections in (1, 10, 100, 500):
                results = side_by_side(bench, contenders, keys, connections)
                rows += table_rows(connections, results)
    print_table(f"Cached answers, {len(reply)} byte replies, median of "
                f"{bench.options.rounds}", f"connections {COLUMNS}", rows)


def side_by_side(bench, contenders, keys, connections):
    """Interleaved runs; who goes first alternates."""
    results = {name: [] for name in contenders}
    for number in range(bench.options.rounds):
        for name in sorted(contenders, reverse=number % 2 == 1):
            endpoint, pid = contenders[name]
            results[name].append(bench.measure_cached(
                endpoint, pid, keys, connections))
    return results


def table_rows(first_cell, results):
    for name, runs in results.items():
        yield (first_cell, name, f"{median(runs, 'requests_per_second'):,.0f}",
               ratio(runs, results["bare"], "requests_per_second"),
               f"{median(runs, 'p50_us'):.0f}", f"{median(runs, 'p99_us'):.0f}",
               ratio(runs, results["bare"], "p99_us"),
               share(runs[-1]["processes"], runs[-1]),
               ratio(runs, results["bare"], "replies_per_cpu_second"),
               rss(runs[-1]), answers(runs[-1]))
