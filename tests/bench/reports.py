"""reports: a day of the spool into reports, and those into the queue.

Adding up: 10,000,000 lines over 100,000 domains, one in a hundred a failure,
beside RapidJSON's SAX parser reading the same file and doing nothing;
interleaved, the file in the page cache.

Queueing: 100,000 domains that ask for reports; from the start of
`postern-report serve` until the day is closed, all of its reports on a real
disk, each domain's record looked up from Unbound. Then what the machine's disk
makes of the hand-over: the reports delivered a second, by a sendmail that takes
them and throws them away.
"""

import datetime
import json
import re
import shutil
import statistics
import subprocess
import time

import internet
from harness import FOLDER, print_table

DOMAINS = 100_000
FAILURES = 100          # one in so many lines
QUEUE_LINES = 1_000_000
RESOLVER = "127.0.0.1:5302"
TARGETS = {"totals": "2.0"}
DELIVERED = 2_000       # reports that are awaited


def measure(bench):
    folder = bench.options.reports
    folder.mkdir(parents=True, exist_ok=True)
    try:
        add_up(bench, folder)
        queue(bench, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def spool_day(bench, *arguments):
    return subprocess.run(
        [str(word) for word in (bench.program("spool_day"), *arguments)],
        check=True, capture_output=True, text=True).stdout


def add_up(bench, folder):
    lines = 500_000 if bench.options.quick else 10_000_000
    day = folder / "day.jsonl"
    spool_day(bench, "write", day, lines, DOMAINS, FAILURES)
    size = day.stat().st_size
    times = {"sax": [], "totals": []}
    memory = {}
    for _ in range(min(3, bench.options.rounds)):
        for how, seconds in times.items():
            out = spool_day(bench, how, day)
            found = re.search(r"in ([0-9.]+) s, (\d+) MiB", out)
            seconds.append(float(found[1]))
            memory[how] = found[2]
    day.unlink()
    rows = []
    for how, seconds in times.items():
        took = statistics.median(seconds)
        ratio = took / statistics.median(times["sax"])
        rows.append((how, f"{lines:,}", f"{lines / took:,.0f}",
                     f"{size / took / 1e6:.0f}", f"{ratio:.2f}",
                     TARGETS.get(how, ""), memory[how]))
    print_table(f"A day of {size / 2**20:,.0f} MiB over {DOMAINS:,} domains",
                "reader lines lines/s MB/s time_ratio target rss_MiB", rows)


def start_resolver(bench):
    """Says of every name below example.com where its reports go."""
    host, port = RESOLVER.split(":")
    config = bench.net.write("records/unbound.conf", f"""
server:
  interface: {host}@{port}
  username: ""
  chroot: ""
  directory: {FOLDER}/records
  pidfile: ""
  use-syslog: no
  num-threads: 1
  local-zone: "example.com." redirect
  local-data: 'example.com. TXT "v=TLSRPTv1; rua=mailto:tls@example.net"'
""")
    bench.net.spawn("records", "unbound", "-d", "-c", config)
    bench.net.wait_for("records", lambda: "TLSRPTv1" in internet.dig(
        host, "x.example.com", "TXT", "-p", port))


def queue(bench, folder):
    lines = 200_000 if bench.options.quick else QUEUE_LINES
    yesterday = datetime.datetime.now(datetime.timezone.utc).date() \
        - datetime.timedelta(days=1)
    spool = folder / "spool"
    (spool / "outcomes").mkdir(parents=True)
    spool_day(bench, "write", spool / f"outcomes/{yesterday}.jsonl", lines,
              DOMAINS, FAILURES)
    start_resolver(bench)
    config = bench.net.write("report.conf", f"""
[spool]
directory = {spool}
[dns]
server = {RESOLVER}
[report]
queue_directory = {spool}/reports
contact_info = tls@example.org
sendmail = /bin/true
jitter = 20h
""")
    command = (bench.options.reporter, "--config", config)
    began = time.monotonic()
    bench.net.spawn("reporter", *command, "serve")
    bench.net.wait_for(
        "reporter", lambda: f"day={yesterday}" in closed_days(bench), 600)
    took = time.monotonic() - began
    reports = int(re.search(rf"day={yesterday} .* reports=(\d+)",
                            closed_days(bench))[1])
    peak = peak_memory(bench.net.pid("reporter"))
    bench.net.stop("reporter")
    size = sum(one.stat().st_size for one in (spool / "reports").iterdir())
    print_table("A day's reports into the queue",
                "spool_lines reports seconds reports/s rss_MiB queue_MiB",
                [(f"{lines:,}", f"{reports:,}", f"{took:.1f}",
                  f"{reports / took:,.0f}", peak, f"{size / 2**20:.0f}")])
    deliver(bench, command, yesterday)
    bench.net.stop("records")


def deliver(bench, command, day):
    bench.net.spawn("sender", *command, "send", "--day", day)
    began = time.monotonic()
    bench.net.wait_for("sender", lambda: delivered(command) > 0)
    first, began = delivered(command), time.monotonic()
    bench.net.wait_for("sender",
                       lambda: delivered(command) >= first + DELIVERED)
    rate = (delivered(command) - first) / (time.monotonic() - began)
    bench.net.stop("sender")
    print_table("Handed over to a sendmail that does nothing",
                "reports/s", [(f"{rate:,.0f}",)])


def closed_days(bench):
    return "\n".join(line for line in bench.net.log_tail("reporter").split("\n")
                     if "event=day_closed" in line)


def delivered(command):
    out = subprocess.run([str(word) for word in (*command, "status", "--json",
                                                 "--day", "yesterday")],
                         check=False, capture_output=True, text=True).stdout
    days = json.loads(out)["days"] if out else []
    return sum(day["reports-delivered"] for day in days)


def peak_memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        peak = int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])
    return f"{peak / 1024:.0f}"
