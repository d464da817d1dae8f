"""spread: cached answers when a million domains are in memory.

A thousand domains fit the processor's caches, a million do not. The same
daemon with a million answers in memory, asked about a thousand of them, about
all by Zipf's law (exponent 1), and about all alike. The bare server, asked the
same, shows what of a difference is the load program's. Runs are interleaved.
of_few: the rate beside the same server's with a thousand; of_few_by_cpu: that
of answers by its CPU second, which holds when others take its core, too.
"""

import policy_database
from harness import (CACHED_KEYS, FAST_DNS, IN_FLIGHT, SERVER_CPU, answers,
                     ask, median, memory, metrics, print_table, progress,
                     ratio, share)
from policy_database import many_domain

CONNECTIONS = 100
TARGETS = {"zipf": 0.85, "uniform": 0.5}


def measure(bench):
    count = bench.options.policies
    source = policy_database.cached(bench, count)
    folder = policy_database.copy(source, source.parent / "state")
    keys = bench.key_file("many", many_domain, count=count)
    few = bench.key_file("few", many_domain, count=CACHED_KEYS)
    loads = {"few": (few, "--uniform"), "zipf": (keys, "--zipf", "1.0"),
             "uniform": (keys, "--uniform")}
    with bench.daemon(SERVER_CPU, cache__directory=folder, dane__enabled="no",
                      dns__server=FAST_DNS, policy__max_lookups=20000) as pid:
        start = memory(pid)[0]
        fill(bench, keys)
        filled = metrics()
        full = memory(pid)[0]
        with bench.bare_server(ask(bench.socket, many_domain(0))) as bare:
            results = side_by_side(
                bench, {"bare": bare, "postern": (bench.socket, pid)}, loads)
    print_table(f"Cached answers, {count:,} in memory, {CONNECTIONS} "
                f"connections, median of {bench.options.rounds}",
                "domains_asked server req/s of_few target of_few_by_cpu "
                "p50_us p99_us server_cpu from_memory answers",
                rows(results, count))
    entries = filled["postern_table_entries"]
    table = filled["postern_table_bytes"]
    print_table("Memory of the answers",
                "answers table_MiB bytes/answer rss_empty_MiB rss_full_MiB "
                "rss_bytes/answer",
                [(f"{entries:,.0f}", f"{table / 2**20:.0f}",
                  f"{table / entries:.0f}", f"{start:.1f}", f"{full:.1f}",
                  f"{(full - start) * 2**20 / entries:.0f}")])


def fill(bench, keys):
    with bench.fast_resolver(policy_database.POLICY_ID):
        result = bench.load(bench.socket, keys, "--once", "--connections",
                            IN_FLIGHT)
    progress(f"filled at {result['requests_per_second']:,.0f} domains/s: "
             f"{answers(result)}")
    if result["ok_secure"] != result["replies"]:
        raise RuntimeError(f"not all are secure: {answers(result)}")


def side_by_side(bench, servers, loads):
    results = {}
    for number in range(bench.options.rounds):
        order = [(server, load) for load in loads for server in servers]
        for server, load in order[::-1] if number % 2 else order:
            endpoint, pid = servers[server]
            keys, *options = loads[load]
            before = metrics()
            result = bench.measure_cached(endpoint, pid, keys, CONNECTIONS,
                                          *options)
            result["hits"] = hits(metrics()) - hits(before)
            result["asked"] = asked(metrics()) - asked(before)
            results.setdefault((server, load), []).append(result)
    return results


def hits(values):
    return values["postern_answers_from_memory_total"]


def asked(values):
    return sum(value for name, value in values.items()
               if name.startswith("postern_answers_total"))


def rows(results, count):
    for (server, load), runs in results.items():
        what = f"{CACHED_KEYS:,}" if load == "few" else f"{count:,} {load}"
        target = TARGETS.get(load, "") if server == "postern" else ""
        of_all = (sum(run["hits"] for run in runs)
                  / max(sum(run["asked"] for run in runs), 1))
        yield (what, server, f"{median(runs, 'requests_per_second'):,.0f}",
               ratio(runs, results[server, "few"], "requests_per_second"),
               target,
               ratio(runs, results[server, "few"], "replies_per_cpu_second"),
               f"{median(runs, 'p50_us'):.0f}",
               f"{median(runs, 'p99_us'):.0f}",
               share(runs[-1]["processes"], runs[-1]),
               f"{100 * of_all:.1f} %" if server == "postern" else "",
               answers(runs[-1]))
