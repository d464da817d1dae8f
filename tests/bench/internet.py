"""A small internet with many mail domains, for the bench.

Why: cold lookups need thousands of distinct domains that answer at the speed
of this machine. tests/e2e has an internet too: that one has variety, this one
has size.

    192.0.2.2            Knot: the signed root, dane.test (signed, with DS) and
                         sts.test (unsigned)
    127.0.0.1:53         Unbound, validating from the root's key
    192.0.2.10 .. .209   nginx: a policy host for every name under sts.test
    2001:db8::10 ...     the same over IPv6

    d00042.dane.test     MX mx.d00042.dane.test, which has A, AAAA, TLSA 3 1 1
    s00042.sts.test      MX mx.s00042.sts.test; TXT at _mta-sts; enforce policy
                         at mta-sts.s00042.sts.test, P-256, ten names a
                         certificate

Names are padded to one width, so that all requests and all replies of a kind
have the same length. TTLs are an hour: nothing expires during a run.

Contract: only for a process in network, mount and process namespaces of its
own (see `run`); `folder` is a tmpfs. Every program started here dies with the
namespace. A step that fails raises, with the program's log in the message.
"""

import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KNOT = "192.0.2.2"
NETWORKS = "192.0.2.0/24,2001:db8::/32"
POLICY_HOSTS = 200      # addresses that share the names of sts.test
NAMES_PER_CERTIFICATE = 10

SOA = "@ 3600 SOA ns.test. hostmaster.test. 1 3600 900 86400 3600\n"


def dane_domain(number):
    return f"d{number:05d}.dane.test"


def sts_domain(number):
    return f"s{number:05d}.sts.test"


class Internet:
    def __init__(self, folder, domains):
        self.folder = Path(folder)
        self.domains = domains
        self.processes = {}
        self.killed = set()

    # --- Life ----------------------------------------------------------------

    def start(self):
        for family, network in zip(("-4", "-6"), NETWORKS.split(",")):
            run("ip", family, "route", "add", "local", network, "dev", "lo")
        self.write("resolv.conf", "nameserver 127.0.0.1\n")
        run("mount", "--bind", self.folder / "resolv.conf", "/etc/resolv.conf")
        self.make_certificates()
        self.start_knot()
        self.start_unbound()
        self.start_nginx()

    def pid(self, name):
        return self.processes[name].pid

    def nginx_pids(self):
        parent = self.pid("nginx")
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self, name):
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()

    def kill(self, name):
        """Without a chance to clean up."""
        self.killed.add(name)
        self.processes[name].kill()
        self.processes[name].wait()

    def pin(self, name, cpu):
        """From now on it has this core, its threads and children, too."""
        pid = self.pid(name)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        for one in (pid, *children.split()):
            run("taskset", "-apc", cpu, one)

    def freeze_resolver(self):
        """From now on questions are taken and never answered."""
        self.processes["unbound"].send_signal(signal.SIGSTOP)

    # --- DNS -----------------------------------------------------------------

    def zone_texts(self):
        dane, sts = [SOA], [SOA]
        for zone in (dane, sts):
            zone.append("@ 3600 NS ns.test.\n$TTL 3600\n")
        digest = "ab" * 32
        for i in range(self.domains):
            host, address = policy_host(i)
            d, s = (name.split(".")[0] for name in (dane_domain(i),
                                                    sts_domain(i)))
            dane.append(f"{d} MX 10 mx.{d}\nmx.{d} A {address}\n"
                        f"mx.{d} AAAA {host}\n"
                        f"_25._tcp.mx.{d} TLSA 3 1 1 {digest}\n")
            sts.append(f"{s} MX 10 mx.{s}\nmx.{s} A {address}\n"
                       f"mx.{s} AAAA {host}\n"
                       f'_mta-sts.{s} TXT "v=STSv1; id=1"\n'
                       f"mta-sts.{s} A {address}\nmta-sts.{s} AAAA {host}\n")
        return "".join(dane), "".join(sts)

    def start_knot(self):
        folder = self.folder / "knot"
        config = self.write("knot/knot.conf", f"""
server:
  rundir: {folder}
  listen: {KNOT}@53
database:
  storage: {folder}
log:
  - target: stderr
    any: warning
policy:
  - id: bench
    manual: on
    single-type-signing: on
template:
  - id: default
    storage: {folder}
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: .
    file: root.zone
    dnssec-signing: on
    dnssec-policy: bench
  - domain: dane.test
    file: dane.zone
    dnssec-signing: on
    dnssec-policy: bench
  - domain: sts.test
    file: sts.zone
""")
        for zone in (".", "dane.test."):
            run("keymgr", "-c", config, zone, "generate",
                "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes")
        ds = [line for line in run("keymgr", "-c", config, "dane.test.",
                                   "ds").splitlines() if " 13 2 " in line]
        dane, sts = self.zone_texts()
        self.write("knot/dane.zone", dane)
        self.write("knot/sts.zone", sts)
        self.write("knot/root.zone", SOA + f"""@ 3600 NS ns.test.
ns.test. 3600 A {KNOT}
dane.test. 3600 NS ns.test.
sts.test. 3600 NS ns.test.
{ds[0].replace(" DS ", " 3600 IN DS ")}
""")
        self.spawn("knot", "knotd", "-c", config)
        for zone in (".", "dane.test"):
            self.wait_for("knot", lambda z=zone: "RRSIG" in dig(
                KNOT, z, "SOA", "+dnssec"))
        self.anchor = [line for line in run("keymgr", "-c", config, ".",
                                            "ds").splitlines()
                       if " 13 2 " in line][0]

    def start_unbound(self):
        """Starts with an empty cache."""
        config = self.write("unbound/unbound.conf", f"""
server:
  interface: 127.0.0.1
  username: ""
  chroot: ""
  directory: {self.folder}/unbound
  pidfile: ""
  use-syslog: no
  trust-anchor: "{self.anchor}"
  local-zone: "test." nodefault
  num-threads: 1
  outgoing-range: 4096
  num-queries-per-thread: 4096
  so-rcvbuf: 4m
  msg-cache-size: 128m
  rrset-cache-size: 256m
  extended-statistics: yes
remote-control:
  control-enable: yes
  control-interface: {self.folder}/unbound/control
  control-use-cert: no
stub-zone:
  name: "."
  stub-addr: {KNOT}
""")
        self.spawn("unbound", "unbound", "-d", "-c", config)
        self.wait_for("unbound", lambda: self.unbound_control(
            "status").returncode == 0)
        self.wait_for("unbound", lambda: " ad;" in dig(
            "127.0.0.1", ".", "SOA", "+dnssec"))

    def restart_unbound(self):
        self.stop("unbound")
        self.start_unbound()

    def unbound_control(self, command):
        return subprocess.run(
            ["unbound-control", "-c", self.folder / "unbound/unbound.conf",
             command], text=True, capture_output=True, check=False)

    def resolver_queries(self):
        """How many questions Unbound was asked, by type."""
        text = self.unbound_control("stats_noreset").stdout
        pairs = (line.split("=") for line in text.splitlines())
        prefix = "num.query.type."
        return {name[len(prefix):]: int(value) for name, value in pairs
                if name.startswith(prefix)}

    # --- Policy hosts --------------------------------------------------------

    def certificate_names(self, number):
        first = number * NAMES_PER_CERTIFICATE
        last = min(first + NAMES_PER_CERTIFICATE, self.domains)
        return [f"mta-sts.{sts_domain(i)}" for i in range(first, last)]

    def certificates(self):
        return range(-(-self.domains // NAMES_PER_CERTIFICATE))

    def make_certificates(self):
        folder = self.folder / "tls"
        folder.mkdir()
        run("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-keyout", folder / "ca.key", "-out",
            folder / "ca.pem", "-subj", "/CN=Bench CA", "-days", "30")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
            "-out", folder / "host.key")

        def make(number):
            names = ",".join(f"DNS:{n}" for n in self.certificate_names(number))
            run("openssl", "req", "-x509", "-key", folder / "host.key", "-CA",
                folder / "ca.pem", "-CAkey", folder / "ca.key", "-out",
                folder / f"{number}.pem", "-subj", f"/CN=hosts {number}",
                "-days", "30", "-addext", "basicConstraints=critical,CA:FALSE",
                "-addext", f"subjectAltName={names}")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(make, self.certificates()))

    def start_nginx(self):
        folder = self.folder / "nginx"
        tls = self.folder / "tls"
        servers = "".join(f"""
  server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {" ".join(self.certificate_names(number))};
    ssl_certificate {tls}/{number}.pem;
    include {folder}/policy.conf;
  }}""" for number in self.certificates())
        policy = "\n".join(("version: STSv1", "mode: enforce",
                            "mx: mx.$domain", "max_age: 604800", ""))
        self.write("nginx/policy.conf", f"""
location = /.well-known/mta-sts.txt {{
  default_type text/plain;
  return 200 "{policy}";
}}
""")
        temporary = "".join(
            f"  {module}_temp_path {folder}/{module};\n" for module in (
                "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = self.write("nginx/nginx.conf", f"""
daemon off;
user root;
pid {folder}/pid;
error_log stderr warn;
worker_processes auto;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
{temporary}
  access_log off;
  server_names_hash_bucket_size 128;
  server_names_hash_max_size {2 * self.domains + 1024};
  ssl_certificate_key {tls}/host.key;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_tickets off;
  map $host $domain {{ ~^mta-sts\\.(?<d>.+)$ $d; }}
  {servers}
}}
""")
        self.spawn("nginx", "nginx", "-c", config, "-e", "stderr")
        self.wait_for("nginx", self.policy_is_served)

    def policy_is_served(self):
        context = ssl.create_default_context(
            cafile=self.folder / "tls/ca.pem")
        name = f"mta-sts.{sts_domain(self.domains - 1)}"
        try:
            with socket.create_connection((name, 443), 5) as plain:
                with context.wrap_socket(plain, server_hostname=name) as tls:
                    tls.sendall(b"GET /.well-known/mta-sts.txt HTTP/1.0\r\n"
                                b"Host: " + name.encode() + b"\r\n\r\n")
                    return b"mode: enforce" in tls.recv(4096)
        except ConnectionRefusedError:
            return False

    # --- Helpers -------------------------------------------------------------

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def spawn(self, name, *command):
        self.killed.discard(name)
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)

    def wait_for(self, name, ready, seconds=120):
        deadline = time.monotonic() + seconds
        while not ready():
            if self.has_died(name) or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{name} does not start:\n{self.log_tail(name)}")
            time.sleep(0.05)

    def has_died(self, name):
        return self.processes[name].poll() is not None

    def log_tail(self, name):
        return (self.folder / f"{name}.log").read_text()[-4000:]


def policy_host(number):
    """The IPv6 and IPv4 address that serve domain `number`."""
    offset = 10 + number % POLICY_HOSTS
    return (ipaddress.ip_address("2001:db8::") + offset,
            ipaddress.ip_address("192.0.2.0") + offset)


def dig(server, name, kind, *options):
    return subprocess.run(["kdig", f"@{server}", name, kind, "+retry=0",
                           "+timeout=2", *options], text=True,
                          capture_output=True, check=False).stdout


def run(*command):
    result = subprocess.run([str(word) for word in command], text=True,
                            capture_output=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{result.stderr}")
    return result.stdout
