"""cold: distinct DANE and MTA-STS domains, each asked for once.

Beside it the resolver alone, asked the same questions by a small UDP client;
the resolver's cache warm and cold.
"""

from harness import IN_FLIGHT, answers, middle, print_table, share

DANE_CHAIN = ["MX {},TXT _mta-sts.{}", "A mx.{},AAAA mx.{}",
              "TLSA _25._tcp.mx.{}"]
STS_CHAIN = ["MX {},TXT _mta-sts.{}",
             "A mx.{},AAAA mx.{},A mta-sts.{},AAAA mta-sts.{}"]


def measure(bench):
    kinds = {"dane": DANE_CHAIN, "sts": STS_CHAIN}
    rows = []
    notes = []
    for kind, chain in kinds.items():
        results = {}
        for _ in range(bench.options.cold_rounds):
            bench.net.restart_unbound()
            for cache in ("cold", "warm"):
                results.setdefault((cache, "resolver alone"), []).append(
                    resolver_alone(bench, bench.keys[kind], chain))
            results.setdefault(("warm", "postern"), []).append(
                run(bench, bench.keys[kind]))
            bench.net.restart_unbound()
            results.setdefault(("cold", "postern"), []).append(
                run(bench, bench.keys[kind]))
        for (cache, who), runs in sorted(results.items(), reverse=True):
            one = middle(runs)
            rows.append((kind, cache, who, *cells(one)))
            questions = (f"{name} {count / one['replies']:.2f}"
                         for name, count in one["asked"].items() if count)
            notes.append(f"- {kind}, {cache}, {who}: {', '.join(questions)}")
    print_table(f"{bench.options.domains} domains, each once, {IN_FLIGHT} in "
                f"flight, median of {bench.options.cold_rounds}",
                "kind resolver_cache who domains/s p50_ms p99_ms "
                "queries/domain resolver_cpu daemon_cpu web_cpu daemon_rss_MiB "
                "answers", rows)
    print("\nQuestions to the resolver, per domain:\n", *notes, sep="\n")


def resolver_alone(bench, keys, chain):
    result = bench.dns_load(keys, chain)
    result["asked"] = {"in all": result["queries"]}
    return result


def run(bench, keys):
    with bench.daemon() as pid:
        before = bench.net.resolver_queries()
        result = bench.load(
            bench.socket, keys, "--once", "--connections", IN_FLIGHT,
            pids=[bench.net.pid("unbound"), pid, *bench.net.nginx_pids()])
        after = bench.net.resolver_queries()
    result["asked"] = {kind: count - before.get(kind, 0)
                       for kind, count in after.items()}
    return result


def cells(run_):
    usage = run_["processes"]
    daemon = usage[1:2]
    return (f"{run_['requests_per_second']:,.0f}",
            f"{run_['p50_us'] / 1e3:.1f}", f"{run_['p99_us'] / 1e3:.1f}",
            f"{sum(run_['asked'].values()) / run_['replies']:.2f}",
            share(usage[:1], run_), share(daemon, run_),
            share(usage[2:], run_),
            f"{daemon[0]['rss_kib'] / 1024:.0f}" if daemon else "-",
            answers(run_))
