"""outcomes: datagrams into the spool, beside a bare recvmmsg() sink.

A blocking sender, as fast as it goes: from the first datagram until the last
line is in the spool. A sender that does not wait: what is lost at a steady rate
and in a burst, with the kernel's default queue and with systemd's. Sender and
receiver have a core each; runs are interleaved.
"""

import contextlib
import json
import time
from pathlib import Path

import internet
from harness import (FOLDER, LOAD_CPU, SERVER_CPU, STATE, median, metrics,
                     pinned, print_table, process_usage, ratio)

QUEUE = Path("/proc/sys/net/unix/max_dgram_qlen")
RATE, BURST = 20000, 20000
WRITTEN = "postern_outcomes_written_total"
HELD = "postern_outcomes_held"


def measure(bench):
    count = 50000 if bench.options.quick else 400000
    rows, losses = [], []
    with contenders(bench, 512) as sockets:
        for kind in ("success", "failure"):
            for domains in (1, 1000, 100000):
                runs = interleaved(bench, sockets, "--kind", kind, "--domains",
                                   domains, "--count", count, "--wait")
                rows += table_rows(kind, domains, runs)
    for queue in (10, 512):
        with contenders(bench, queue) as sockets:
            for what, options in (
                    (f"{RATE}/s", ("--rate", RATE, "--count",
                                   RATE * (1 if bench.options.quick else 10))),
                    (f"burst of {BURST}", ("--count", BURST))):
                runs = interleaved(bench, sockets, "--kind", "failure",
                                   "--domains", 1000, *options)
                losses += loss_rows(what, queue, runs)
    print_table(f"Datagrams into the spool, blocking sender, median of "
                f"{bench.options.rounds}",
                "kind domains receiver datagrams/s ratio target cpu_us/datagram "
                "spool_bytes/datagram lines", rows)
    print_table(f"Lost of a sender that does not wait, median of "
                f"{bench.options.rounds}",
                "sent queue receiver lost_percent", losses)


@contextlib.contextmanager
def contenders(bench, queue):
    """The sink and the daemon, with sockets that have queues of this length."""
    QUEUE.write_text(str(queue))
    sink = f"{FOLDER}/sink.sock"
    ours = f"{FOLDER}/tlsrpt.sock"
    bench.net.spawn("sink", *pinned(SERVER_CPU),
                    bench.program("datagram_sink"), sink)
    try:
        bench.net.wait_for("sink", Path(sink).exists)
        with bench.daemon(SERVER_CPU, tlsrpt__listen=f"unix:{ours}",
                          spool__directory=STATE / "spool") as pid:
            yield {"sink": (sink, bench.net.pid("sink")),
                   "postern": (ours, pid)}
    finally:
        bench.net.stop("sink")


def interleaved(bench, sockets, *load):
    results = {name: [] for name in sockets}
    for number in range(bench.options.rounds):
        for name in sorted(sockets, reverse=number % 2 == 1):
            results[name].append(run(bench, name, *sockets[name], *load))
    return results


def run(bench, name, path, pid, *load):
    before = totals() if name == "postern" else None
    cpu = process_usage(pid)
    started = time.monotonic()
    result = json.loads(internet.run(
        *pinned(LOAD_CPU), bench.program("datagram_load"), "--socket", path,
        *load))
    elapsed = result["elapsed_seconds"]
    if before:
        sent = time.monotonic()
        # Repeated failures are written once a minute.
        while ((now := totals())[WRITTEN] + now[HELD]
               - before[WRITTEN] - before[HELD] < result["sent"]):
            if time.monotonic() - sent > 60:
                raise RuntimeError(f"the spool lacks datagrams: {before}, "
                                   f"{now}, {result}")
            time.sleep(0.005)
        elapsed += time.monotonic() - sent
        result["lines"] = (now["postern_spool_lines_total"]
                           - before["postern_spool_lines_total"])
        result["spool_bytes"] = (now["postern_spool_bytes_total"]
                                 - before["postern_spool_bytes_total"])
        if "--wait" in load:
            empty_spool()
    result["rate"] = result["sent"] / elapsed
    result["cpu_us"] = (process_usage(pid) - cpu) / result["sent"] * 1e6
    result["lost_percent"] = (100 * result["lost"]
                              / (result["sent"] + result["lost"]))
    return result


def totals():
    return {name: value for name, value in metrics().items()
            if name.startswith(("postern_spool", "postern_outcomes"))}


def empty_spool():
    """What is deleted is begun anew; the file system is not to fill.

    Not where losses are counted: to delete 100 MB stops the machine for some
    milliseconds, and a queue of 512 is full after 26.
    """
    for file in (STATE / "spool/outcomes").glob("*.jsonl"):
        file.unlink()


def table_rows(kind, domains, runs):
    for name, results in runs.items():
        ours = name == "postern"
        target = {"success": "0.6", "failure": "0.4"}[kind] if ours else ""
        yield (kind, f"{domains:,}", name,
               f"{median(results, 'rate'):,.0f}",
               ratio(results, runs["sink"], "rate"),
               target, f"{median(results, 'cpu_us'):.2f}",
               f"{results[-1]['spool_bytes'] / results[-1]['sent']:.0f}"
               if ours else "-",
               f"{results[-1]['lines']:,.0f}" if ours else "-")


def loss_rows(what, queue, runs):
    for name, results in runs.items():
        yield (what, queue, name, f"{median(results, 'lost_percent'):.2f}")
