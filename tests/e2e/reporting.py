"""postern-report, and what takes its reports: https hosts, mailboxes, and a
sendmail that does as it is told."""

import base64
import dataclasses
import datetime
import email
import email.policy
import gzip
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import threading

import dkim
from jsonschema import Draft202012Validator

import world
from certs import openssl
from checks import equal, found_in
from daemon import OUR_INTERNET, REPORT_METRICS, Daemon
from testnet import PATIENCE, listening, wait_for
from wallclock import WallClock

LIMIT = PATIENCE
SUBMITTER = "reporter.test"
CONTACT = "tlsrpt@" + SUBMITTER
SENDER = "bounces@" + SUBMITTER
ORGANIZATION = "Prüfer & Söhne"
WAITS, FINE, GIVEN_UP, USAGE = 75, 0, 1, 2  # exit codes
RUA = "rua.reports.test"
IMPOSTOR = "impostor.reports.test"  # with a certificate for another name
ADDRESS = world.V4 + "83"
COLLECTOR = ("127.0.0.1", 8460)
MAILBOX = "tls@reports.test"
HTTPS = f"https://{RUA}"
BY_MAIL = f"mailto:{MAILBOX}"
A = "a.reports.test"  # a domain that mails are sent to
SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[2] /
                     "docs/report.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
NGINX_CONF = """
daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {log}/rua-error.log;
events {{ }}
http {{
    access_log {log}/rua.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    ssl_certificate_key {key};
    proxy_buffering off;
    server {{
        listen {address}:443 ssl;
        server_name {rua};
        ssl_certificate {certificate};
        location / {{ proxy_pass http://{collector}; }}
        location = /moved {{ return 302 https://{rua}/target; }}
        location = /busy {{
            add_header Retry-After 7200 always;
            return 503;
        }}
    }}
    server {{
        listen {address}:443 ssl;
        server_name {impostor};
        ssl_certificate {wrong};
        location / {{ proxy_pass http://{collector}; }}
    }}
}}
"""
# Started as sendmail is. By the word in the file `mode`:
#   unread, read   it is killed with its parent, before or after it has read
#   orphaned       kills its parent, then takes what it can read
#   taken          takes the mail, then kills its parent
#   ended          takes it, and kills its parent once that has seen it end
#   taken-and-full takes it, and leaves no room on the disk
#   refuse         says that it is busy
#   take           takes it
SENDMAIL = """#!/bin/bash
cd {folder} || exit 70
read -r mode <mode
die() {{ kill -9 $PPID $$; }}
[ "$mode" = unread ] && die
[ "$mode" = orphaned ] && kill -9 $PPID
cat >$$.part
[ "$mode" = read ] && die
if [ "$mode" = refuse ]; then
    echo "too busy today"
    exit 75
fi
printf '%s\\n' "$*" >$$.arguments
mv $$.part $$.eml
case $mode in
    taken) kill -9 $PPID ;;
    ended) (while kill -0 $$; do :; done; kill -9 $PPID) >/dev/null 2>&1 & ;;
    taken-and-full) cat /dev/zero >"$(<filler)" 2>/dev/null ;;
esac
exit 0
"""


def reported_day():
    """The last day that has ended for the program, as a date."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now - datetime.timedelta(days=1, minutes=6)).date()


def make_it_yesterday(spool):
    """What is in a spool, as if it had been written on the day before."""
    day = reported_day().isoformat().encode()
    lines = [b'{"at":"' + day + line[17:]
             for line in spool.raw().splitlines(keepends=True)]
    for path in spool.files():
        path.unlink()
    (spool.folder / f"{day.decode()}.jsonl").write_bytes(b"".join(lines))


class Reporter(Daemon):
    """One configuration of postern-report, with a spool and a queue.

    As a Daemon is: start() and stop() are of `serve`, which does not believe its
    clock and closes no day; start_to_close_days() is.
    """

    metrics = REPORT_METRICS

    def __init__(self, bench, name, **overrides):
        self.day = reported_day().isoformat()
        self.bench = bench
        self.name = name
        spool = bench.internet.log / f"{name}.spool"
        super().__init__(bench.reporter, name, bench.internet.log,
                         bench.internet.certificates.ca, **{
            "report__organization_name": ORGANIZATION,
            "report__contact_info": CONTACT,
            "report__sender_address": SENDER,
            "report__ca_file": bench.internet.certificates.ca,
            "report__allow_private": OUR_INTERNET,
            "report__jitter": "0s",
            "report__metrics_listen": f"inet:{REPORT_METRICS}",
            "report__queue_directory": spool / "reports",
            **overrides})

    def start_to_close_days(self):
        """Starts serve; ten minutes pass at once, in which its clocks go
        evenly. From then on it goes by the true time."""
        clock = WallClock(self.bench, self.name, self.binary)
        clock.ten_minutes_ago()
        self.start(environment=clock.environment)
        self.metric("up")  # who answers has looked at the clocks
        clock.let_them_pass()
        return self

    def add(self, *outcomes):
        """Lines of the day that is reported, but for their `at`."""
        self.spool.folder.mkdir(parents=True, exist_ok=True)
        with open(self.spool.folder / f"{self.day}.jsonl", "a") as file:
            for number, line in enumerate(outcomes):
                at = f"{self.day}T{number // 3600 % 24:02}:" \
                     f"{number // 60 % 60:02}:{number % 60:02}Z"
                file.write(json.dumps({"at": at, **line},
                                      separators=(",", ":")) + "\n")
        return self

    def send(self, *words):
        return self.command("send", "--day", self.day, *words)

    def sends(self, expected, *words):
        """The same; its exit code is as expected."""
        sent = self.send(*words)
        equal(sent.returncode, expected,
              f"exit status of send ({sent.stdout} {sent.stderr})")
        return sent

    def begin(self, *words):
        """Begins to send; the process."""
        return subprocess.Popen(
            [self.binary, "send", "--day", self.day, *words, "--config",
             self.config], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def status(self):
        return json.loads(self.command("status", "--all", "--json").stdout)

    def deliveries(self):
        """By destination and domain, in this order."""
        return {(row["destination"], row["domain"]): row
                for row in self.status()["deliveries"]}

    def delivery(self, domain):
        """The only one of a domain."""
        rows = [row for row in self.status()["deliveries"]
                if row["domain"] == domain]
        equal(len(rows), 1, f"deliveries of {domain}'s report")
        return rows[0]

    def waiting(self):
        return [row for row in self.status()["deliveries"]
                if row["state"] == "waiting"]

    def wait_delivered(self):
        wait_for(lambda: not self.waiting(), LIMIT, "the end of all waiting")
        for row in self.status()["deliveries"]:
            equal(row["state"], "delivered", f"{row}")


def publish(bench, records, *more):
    """{domain below reports.test: its rua}, and where the https hosts are.

    more: further records.
    """
    lines = [f"{name}. A {ADDRESS}" for name in (RUA, IMPOSTOR)]
    lines += [f'_smtp._tls.{name}. TXT "v=TLSRPTv1; rua={rua}"'
              for name, rua in records.items()]
    bench.internet.publish(dataclasses.replace(world.BY_NAME["reports"],
                                               extra=(*lines, *more)))


@dataclasses.dataclass
class Post:
    path: str
    headers: dict
    body: bytes

    def report(self):
        return report_in(self.body)


def report_in(body):
    """The report in gzip bytes; it is of the schema."""
    report = json.loads(gzip.decompress(body))
    is_valid(report)
    return report


def is_valid(report):
    problems = [error.message for error in VALIDATOR.iter_errors(report)]
    assert not problems, f"a report is not of the schema: {problems}"


class HttpsHosts:
    """nginx at rua.reports.test, and what is behind it, which keeps what is
    posted in `posts`."""

    def __init__(self, bench):
        self.internet = bench.internet
        self.posts = []
        self.let_go = threading.Event()  # what was posted to /stall
        self.stalled = threading.Event()
        self.poured = 0  # bytes of answers to /endless...
        self.nginx = self.server = None

    def wait_posts(self, count):
        wait_for(lambda: len(self.posts) >= count, LIMIT, f"{count} posts")

    def paths(self):
        return [post.path for post in self.posts]

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(COLLECTOR, Collector)
        self.server.daemon_threads = True
        self.server.hosts = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()
        folder = self.internet.folder / "rua"
        folder.mkdir(exist_ok=True)
        certificates = self.internet.certificates
        certificates.create({(RUA, "good"), (IMPOSTOR, "wrong-name")})
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(
            dir=folder, log=self.internet.log, key=certificates.key,
            address=ADDRESS, rua=RUA, impostor=IMPOSTOR,
            certificate=certificates.path(RUA, "good"),
            wrong=certificates.path(IMPOSTOR, "wrong-name"),
            collector=":".join(map(str, COLLECTOR))))
        self.nginx = subprocess.Popen(
            ["nginx", "-c", conf, "-e", self.internet.log / "rua-error.log"],
            stdin=subprocess.DEVNULL)
        wait_for(lambda: listening(ADDRESS, 443), LIMIT, "nginx")
        return self

    def __exit__(self, *_):
        self.let_go.set()
        self.nginx.terminate()
        self.nginx.wait()
        self.server.shutdown()
        self.server.server_close()


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        hosts = self.server.hosts
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hosts.posts.append(Post(self.path, dict(self.headers), body))
        if self.path == "/stall":
            hosts.stalled.set()
            hosts.let_go.wait(LIMIT)
        endless = self.path.startswith("/endless")
        self.send_response(500 if self.path == "/endless-failure" else 201)
        self.end_headers()
        while endless:
            self.wfile.write(bytes(1 << 16))
            hosts.poured += 1 << 16

    def do_GET(self):
        self.do_POST()

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # nginx hung up

    def log_message(self, *_):
        pass


class Sendmail:
    """A program for report.sendmail, and the mails that it took."""

    def __init__(self, bench, name):
        self.folder = bench.internet.folder / f"sendmail-{name}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.path = self.folder / "sendmail"
        self.path.write_text(SENDMAIL.format(folder=self.folder))
        self.path.chmod(0o755)
        self.does("take")

    def does(self, mode):
        """From now on."""
        (self.folder / "mode").write_text(mode + "\n")

    def fills(self, path):
        (self.folder / "filler").write_text(f"{path}\n")
        self.does("taken-and-full")

    def mails(self):
        return [path.read_bytes() for path in sorted(
            self.folder.glob("*.eml"), key=lambda path: path.stat().st_mtime)]

    def arguments(self):
        return [path.read_text().strip()
                for path in self.folder.glob("*.arguments")]


@dataclasses.dataclass
class Mail:
    """A report mail as a reader of mail sees it; its fields are right."""

    message: email.message.EmailMessage
    gzip: bytes
    report: dict

    @staticmethod
    def read(raw, domain, is_copy=False):
        """is_copy: for a person, and not recorded; nobody can bounce it."""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        equal(message.defects, [], "defects of the mail")
        equal(message.get_content_type(), "multipart/report", "type")
        equal(message["Content-Type"].params["report-type"], "tlsrpt",
              "report-type")
        text, attachment = message.iter_parts()
        equal(text.get_content_type(), "text/plain", "type of the first part")
        assert domain in text.get_content(), text.get_content()
        equal(attachment.get_content_type(), "application/tlsrpt+gzip",
              "type of the second part")
        packed = attachment.get_content()
        report = report_in(packed)
        report_id = report["report-id"]
        for field, value in {
                "TLS-Report-Domain": domain,
                "TLS-Report-Submitter": SUBMITTER,
                "Subject": f"Report Domain: {domain} Submitter: {SUBMITTER} "
                           f"Report-ID: <{report_id}>",
                "TLS-Required": "No",
                "Auto-Submitted": "auto-generated"}.items():
            equal(message.get_all(field), [value], field)
        unique, host = report_id.split("@")
        token = "" if is_copy else r"\.[0-9a-f]{32}"
        found_in(rf"^<{unique}{token}@{re.escape(host)}>$",
                 message["Message-ID"], "Message-ID")
        sender, = message["From"].addresses
        equal((sender.addr_spec, sender.display_name), (SENDER, ORGANIZATION),
              "From")
        begin, end = (int(datetime.datetime.fromisoformat(
            report["date-range"][f"{which}-datetime"].replace(
                "Z", "+00:00")).timestamp()) for which in ("start", "end"))
        found_in(rf"^{SUBMITTER}!{domain}!{begin}!{end}(!\w+)?\.json\.gz$",
                 attachment.get_filename(), "file name")
        return Mail(message, packed, report)


class DkimKeys:
    """An RSA and an Ed25519 key, as openssl makes them."""

    KINDS = {"rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
             "ed25519": ["-algorithm", "ED25519"]}

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.paths = {kind: folder / f"{kind}.key" for kind in self.KINDS}
        for kind, options in self.KINDS.items():
            openssl("genpkey", *options, "-out", self.paths[kind])

    def settings(self):
        return {"report__dkim_key": list(self.paths.values()),
                "report__dkim_selector": list(self.paths)}

    def publish(self, bench):
        records = []
        for kind, path in self.paths.items():
            key = openssl("pkey", "-in", path, "-pubout", "-outform", "DER")
            if kind == "ed25519":
                key = key[-32:]  # RFC 8463 section 4.2
            text = (f"v=DKIM1; k={kind}; s=tlsrpt; "
                    f"p={base64.b64encode(key).decode()}")
            parts = " ".join(f'"{text[n:n + 255]}"'
                             for n in range(0, len(text), 255))
            records.append(f"{kind}._domainkey TXT {parts}")
        bench.internet.publish(dataclasses.replace(
            world.BY_NAME["reporter"], extra=tuple(records)))


def verify_signatures(raw):
    """Each holds, as the keys in DNS have it; returns their algorithms."""
    verifier = dkim.DKIM(raw, tlsrpt=True)
    fields = [value for name, value in verifier.headers
              if name.lower() == b"dkim-signature"]
    for number, field in enumerate(fields):
        assert verifier.verify(idx=number, dnsfunc=txt_record), \
            f"the signature does not hold: {field}"
        tags = dict(tag.strip().split(b"=", 1) for tag in field.split(b";")
                    if tag.strip())
        assert b"l" not in tags, f"l= in {field}"
        signed = b"".join(tags[b"h"].lower().split()).split(b":")
        for name in (b"from", b"tls-report-domain", b"tls-report-submitter"):
            assert name in signed, f"{name} is not signed: {field}"
    return sorted(found_in(r"a=([\w-]+)", field.decode(), "signature")[1]
                  for field in fields)


def txt_record(name, timeout=5):
    answer = subprocess.run(
        ["kdig", "+short", f"+time={timeout}", "@127.0.0.1",
         name.decode().rstrip("."), "TXT"], check=True,
        stdout=subprocess.PIPE, text=True).stdout
    return "".join(answer.split('"')[1::2]).encode()


def policy_of(report):
    """The only one of a report."""
    policy, = report["policies"]
    return policy


def to_be_tried(reporter):
    """The day's only report is in the queue after a try that failed, and due:
    serve does not wait before it delivers it. Returns its report-id."""
    reporter.sends(WAITS)
    report_id = reporter.delivery(A)["report-id"]
    retried = reporter.command("retry", report_id)
    equal(retried.returncode, FINE, f"exit status of retry ({retried.stderr})")
    return report_id
