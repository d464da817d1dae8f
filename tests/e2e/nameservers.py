"""DNS of the test internet: zone files, Knot (authoritative), Unbound.

Every zone (the root, test. and one per Domain) is served by Knot on
192.0.2.53 and 2001:db8::53. Signed zones are signed here, with ldns-signzone
and one P-256 key for all of them, before Knot loads them. Unbound on 127.0.0.1
knows the root's address and the root's DS, nothing else: it finds and
validates everything by itself, as on the real internet.
"""

import base64
import hashlib
import re
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import world
from certs import openssl

TTL = 60
APEX = f"""$ORIGIN %s
$TTL {TTL}
@ SOA ns.test. hostmaster.test. %d 3600 600 86400 {TTL}
@ NS ns.test.
"""
GLUE = [f"ns.test. A {world.NAME_SERVER[0]}",
        f"ns.test. AAAA {world.NAME_SERVER[1]}"]
KNOT_CONF = """
server:
    rundir: "{dir}"
    listen: [ {v4}@53, {v6}@53 ]
    user: root
database:
    storage: "{dir}"
log:
  - target: "{log}/knot.log"
    any: info
zone:
"""
UNBOUND_CONF = """
server:
    interface: {address}
    access-control: 127.0.0.0/8 allow
    directory: "{dir}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: "{log}/unbound-{address}.log"
    num-threads: 2
    module-config: "{modules}"
    root-hints: "{dir}/root.hints"
    trust-anchor: ". DS {root_ds}"
    local-zone: "test." nodefault
    qname-minimisation: no
    infra-host-ttl: 1
    cache-max-negative-ttl: {ttl}
remote-control:
    control-enable: yes
    control-use-cert: no
    control-interface: "{dir}/{address}.sock"
"""


class SigningKey:
    """The one key of all signed zones, as DNSSEC sees it."""

    def __init__(self):
        pem = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
        der = openssl("ec", "-outform", "DER", data=pem)
        self.secret, public = der[7:39], der[-64:]  # RFC 5915, P-256
        self.rdata = struct.pack("!HBB", 257, 3, 13) + public
        words = struct.unpack(f"!{len(self.rdata) // 2}H", self.rdata)
        self.tag = (sum(words) + (sum(words) >> 16)) & 0xFFFF

    def ds(self, zone):
        wire = b"".join(bytes([len(label)]) + label.encode()
                        for label in zone.rstrip(".").split(".") if label)
        digest = hashlib.sha256(wire + b"\0" + self.rdata).hexdigest()
        return f"{self.tag} 13 2 {digest}"

    def write(self, base, zone):
        """The two files that ldns-signzone wants."""
        public = base64.b64encode(self.rdata[4:]).decode()
        secret = base64.b64encode(self.secret).decode()
        base.with_name(base.name + ".key").write_text(
            f"{zone} IN DNSKEY 257 3 13 {public}\n")
        base.with_name(base.name + ".private").write_text(
            "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n"
            f"PrivateKey: {secret}\n")


def records(domain, certificates):
    """A Domain's resource records, names relative to its zone."""
    out = [f"@ MX {10 * (n + 1)} {mx.rstrip('.')}."
           for n, mx in enumerate(domain.mx)]
    for host in domain.hosts:
        if host.cname:
            out.append(f"{host.name}. CNAME {host.cname}.")
        for address in host.addresses() if not host.cname else ():
            kind = "AAAA" if ":" in address else "A"
            out.append(f"{host.name}. {kind} {address}")
        out += [f"_{host.port}._tcp.{host.name}. TLSA {certificates.tlsa(t)}"
                for t in host.tlsa]
    if domain.sts:
        out += sts_records(domain.sts)
    if domain.tlsrpt:
        out.append(f'_smtp._tls TXT "{domain.tlsrpt}"')
    return out + list(domain.extra)


def sts_records(sts):
    if sts.web == "delegated":
        return [f"{name} CNAME {name}.sts-enforce.test."
                for name in ("_mta-sts", "mta-sts")]
    v4, v6 = {"refused": world.NO_POLICY_HOST,
              "impostor": world.IMPOSTOR}.get(sts.web, world.POLICY_HOST)
    hosts = [f"mta-sts A {v4}", f"mta-sts AAAA {v6}"]
    if sts.web == "loopback":
        hosts = ["mta-sts A 127.0.0.1"]
    texts = (f"v=STSv1; id={sts.id};",) if sts.txt is None else sts.txt
    return hosts + [f'_mta-sts TXT "{text}"' for text in texts]


class NameServers:
    def __init__(self, folder, log_folder, certificates):
        self.folder = folder
        self.log_folder = log_folder
        self.certificates = certificates
        self.key = SigningKey()
        self.serial = 1

    def create(self):
        """Writes and signs all zones, and the servers' configuration."""
        self.folder.mkdir()
        ds = [f"{d.fqdn}. DS {self.key.ds(d.fqdn)}" for d in world.DOMAINS
              if d.zone == "signed"]
        ds += [f"{d.fqdn}. DS {self.key.ds('other.' + d.fqdn)}"
               for d in world.DOMAINS if d.zone == "bogus"]
        delegations = [f"{d.fqdn}. NS ns.test." for d in world.DOMAINS]
        root = ["test. NS ns.test.", f"test. DS {self.key.ds('test')}"]
        jobs = [(".", root + GLUE, True, ()),
                ("test.", GLUE + delegations + ds, True, ())]
        jobs += [self._job(d) for d in world.DOMAINS]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda job: self._write_zone(*job), jobs))
        v4, v6 = world.NAME_SERVER
        conf = KNOT_CONF.format(dir=self.folder, log=self.log_folder,
                                v4=v4, v6=v6)
        conf += "".join(f'  - domain: {zone}\n    file: "{self._file(zone)}"\n'
                        for zone, *_ in jobs)
        (self.folder / "knot.conf").write_text(conf)
        (self.folder / "root.hints").write_text(
            "\n".join([". 3600 NS ns.test."] + GLUE) + "\n")

    def update(self, domain):
        """Publishes a changed Domain and makes the resolver forget it."""
        self.serial += 1
        self._write_zone(*self._job(domain))
        zone = domain.fqdn + "."
        for command in (
                ["knotc", "-b", "-c", self.folder / "knot.conf",
                 "zone-reload", zone],
                self.control("127.0.0.1", "flush_zone", zone)):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def control(self, address, *command):
        """The command line that tells the Unbound on `address` something."""
        return ["unbound-control", "-q", "-c",
                self.folder / f"unbound-{address}.conf", *command]

    def knot_command(self):
        return ["knotd", "-c", self.folder / "knot.conf"]

    def unbound_command(self, address="127.0.0.1", validating=True):
        conf = self.folder / f"unbound-{address}.conf"
        conf.write_text(UNBOUND_CONF.format(
            address=address, dir=self.folder, log=self.log_folder, ttl=TTL,
            modules="validator iterator" if validating else "iterator",
            root_ds=self.key.ds(".")))
        return ["unbound", "-d", "-c", conf]

    def _job(self, domain):
        return (domain.fqdn + ".", records(domain, self.certificates),
                domain.zone != "unsigned", domain.bogus)

    def _file(self, zone):
        return self.folder / f"{zone.rstrip('.') or 'root'}.zone"

    def _write_zone(self, zone, lines, signed, bogus):
        path = self._file(zone)
        text = APEX % (zone, self.serial) + "\n".join(lines) + "\n"
        if not signed:
            path.write_text(text)
            return
        plain = path.with_suffix(".unsigned")
        plain.write_text(text)
        base = path.with_suffix("")
        self.key.write(base, zone)
        subprocess.run(["ldns-signzone", "-o", zone, "-f", path, plain, base],
                       check=True, stdout=subprocess.DEVNULL)
        for record_set in bogus:
            name, kind = record_set.split()
            break_signature(path, zone if name == "@" else f"{name}.{zone}",
                            kind)


def break_signature(path, name, kind):
    """Changes a byte in the signature over one record set of a zone file."""
    pattern = re.compile(rf"^({re.escape(name)}\s.*RRSIG\s+{kind}\s.*\s)"
                         r"(\S{10})(\S+)$", re.M)
    text, changed = pattern.subn(r"\1AAAAAAAAAA\3", path.read_text())
    assert changed == 1, f"{changed} signatures of {name} {kind}"
    path.write_text(text)
