"""The domains of the test internet: one table, everything else follows.

Each Domain below becomes a DNS zone `<name>.test` on the authoritative
server, its hosts become STARTTLS receivers on addresses of their own, and its
MTA-STS policy becomes a virtual host of the policy web server. To add a case:
add a Domain here and its expectation in cases.py.

Short names are completed: host "mx" of Domain "a" is mx.a.test; a name with a
dot ("mx.hosting") is completed with .test only. Host names are unique in the
whole table, so a line of Postfix's log that names a host names its domain.
"""

from dataclasses import dataclass, field

V4 = "192.0.2."  # RFC 5737; all of it is local to the namespace
V6 = "2001:db8::"  # RFC 3849
NAME_SERVER = (V4 + "53", V6 + "53")
POLICY_HOST = (V4 + "80", V6 + "80")
NO_POLICY_HOST = (V4 + "81", V6 + "81")  # nobody listens
IMPOSTOR = (V4 + "82", V6 + "82")  # a policy of mode none for every name
OUR_ADDRESSES = (V4 + "1", V6 + "1")
SENDER_DOMAIN = "sender.test"
SENDER = "mail." + SENDER_DOMAIN


def absolute(name, domain):
    """'mx' -> mx.<domain>; 'mx.hosting' -> mx.hosting.test; '.' stays."""
    if name == "." or name.endswith(".test"):
        return name
    return f"{name}.test" if "." in name else f"{name}.{domain}"


@dataclass
class Host:
    """An MX host.

    smtp: the receiver's certificate: good, wrong-name, expired, self-signed;
          or plain (no STARTTLS), broken (STARTTLS, but then no TLS), or off
          (nobody listens).
    tlsa: any of match (3 1 1), key (3 1 0, the whole key), ta (2 0 1 of the
          CA), mismatch, unusable (usage 1), or a record in presentation form.
    """

    name: str
    smtp: str = "good"
    tlsa: tuple = ()
    port: int = 25
    cname: str = ""  # alias of this host, with neither address nor receiver
    families: str = "46"
    address: tuple = ()  # (v4, v6), given out below

    def addresses(self):
        return [a for a, f in zip(self.address, "46") if f in self.families]


@dataclass
class Sts:
    """An MTA-STS policy and the web server that serves it.

    web: good, wrong-name, expired, self-signed (certificates); 404, redirect,
         html, oversized, slow (one byte a second); loopback (on 127.0.0.1);
         refused (nobody listens); impostor (somebody else's server);
         delegated (RFC 8461 section 8.2: both names are aliases of
         sts-enforce's).
    txt: () for none.
    """

    mode: str = "enforce"
    mx: tuple = None  # default: the domain's MX hosts
    max_age: int = 86400
    web: str = "good"
    id: str = "20260101"
    extra: str = ""  # further lines of the policy file
    text: str = None  # the whole policy file, instead of all of the above
    txt: tuple = None  # the TXT records, instead of v=STSv1; id=...


@dataclass
class Domain:
    """One domain, a zone of its own below test.

    zone:  signed, unsigned (no DS in the parent), bogus (a wrong DS).
    mx:    default: all hosts in their order; () for none, (".",) for null MX.
    bogus: record sets of a signed zone whose signature is broken, "name TYPE".
    tlsrpt: the TXT record at _smtp._tls; "" for none.
    """

    name: str
    about: str
    zone: str = "unsigned"
    hosts: tuple = ()
    mx: tuple = None
    sts: Sts = None
    bogus: tuple = ()
    extra: tuple = ()  # further resource records
    tlsrpt: str = None  # default: reports go to tls@ the domain
    fqdn: str = field(init=False)

    def __post_init__(self):
        label = self.name.encode("idna").decode()
        self.fqdn = f"{label}.test"
        if self.tlsrpt is None:
            self.tlsrpt = f"v=TLSRPTv1; rua=mailto:tls@{self.fqdn}"
        for host in self.hosts:
            host.name = absolute(host.name, self.fqdn)
            host.cname = host.cname and absolute(host.cname, self.fqdn)
        mx = [h.name for h in self.hosts] if self.mx is None else self.mx
        self.mx = tuple(absolute(m, self.fqdn) for m in mx)
        if self.sts and self.sts.mx is None:
            self.sts.mx = self.mx

    def policy_text(self):
        """The body of mta-sts.txt."""
        sts = self.sts
        if sts.text is not None:
            return sts.text
        lines = ["version: STSv1", f"mode: {sts.mode}"]
        lines += [f"mx: {m}" for m in sts.mx]
        lines += [f"max_age: {sts.max_age}"]
        return "\r\n".join(lines) + "\r\n" + sts.extra


def one(**host):
    """The usual set of hosts: one, called mx."""
    return (Host("mx", **host),)


MATCH = ("match",)

DOMAINS = [
    # --- no policy ---------------------------------------------------------
    Domain("none", "no policy at all", hosts=one()),
    Domain("none-plain", "no policy, no STARTTLS", hosts=one(smtp="plain")),
    Domain("none-selfsigned", "no policy, self-signed certificate",
           hosts=one(smtp="self-signed")),
    Domain("none-signed", "signed zone without TLSA", "signed", one()),
    Domain("none-implicit", "no MX record: the domain is its own host",
           hosts=(Host("none-implicit.test"),), mx=()),
    Domain("none-broken", "no policy, and no TLS after STARTTLS",
           hosts=one(smtp="broken")),
    Domain("none-quiet", "no policy, wants no reports", hosts=one(),
           tlsrpt=""),
    Domain("null-mx", "null MX: takes no mail", "signed", mx=(".",)),
    Domain("no-address", "its only MX host has no address", mx=("mx",)),
    # --- DANE --------------------------------------------------------------
    Domain("dane-match", "TLSA matches", "signed", one(tlsa=MATCH)),
    Domain("dane-mismatch", "TLSA of another key", "signed",
           one(tlsa=("mismatch",))),
    Domain("dane-selfsigned", "TLSA of a self-signed certificate", "signed",
           one(smtp="self-signed", tlsa=MATCH)),
    Domain("dane-ta", "TLSA of the CA", "signed", one(tlsa=("ta",))),
    Domain("dane-ipv6", "MX host with an IPv6 address only", "signed",
           one(tlsa=MATCH, families="6")),
    Domain("dane-two", "two hosts, both with TLSA; the first one's is wrong",
           "signed", (Host("mx1", tlsa=("mismatch",)),
                      Host("mx2", tlsa=MATCH))),
    Domain("dane-partial", "two hosts, only the first has TLSA", "signed",
           (Host("mx1", tlsa=MATCH), Host("mx2"))),
    Domain("dane-partial-bad", "the first host's TLSA is wrong, "
           "the second has none", "signed",
           (Host("mx1", tlsa=("mismatch",)), Host("mx2"))),
    Domain("dane-plain", "TLSA, but no STARTTLS", "signed",
           one(smtp="plain", tlsa=MATCH)),
    Domain("dane-unusable", "TLSA records of usage 1 only", "signed",
           one(tlsa=("unusable",))),
    Domain("dane-malformed", "TLSA record with a digest that is too short",
           "signed", one(tlsa=("3 1 1 0123",))),
    Domain("dane-cname", "MX host is an alias; TLSA at the expanded name",
           "signed", (Host("mx", cname="mx.hosting"),)),
    Domain("dane-alias", "MX host is an alias of an unsigned name; TLSA at "
           "the original name", "signed",
           (Host("mx", cname="mx.none", tlsa=MATCH),)),
    Domain("dane-key", "TLSA with the whole key instead of a digest", "signed",
           one(tlsa=("key",))),
    Domain("dane-port", "TLSA at port 2525 only", "signed",
           one(tlsa=MATCH, port=2525)),
    Domain("dane-bogus-tlsa", "the TLSA record's signature is broken",
           "signed", one(tlsa=MATCH), bogus=("_25._tcp.mx TLSA",)),
    Domain("dane-bogus-second", "the second host's TLSA signature is broken",
           "signed", (Host("mx1", tlsa=MATCH), Host("mx2", tlsa=MATCH)),
           bogus=("_25._tcp.mx2 TLSA",)),
    Domain("dane-away", "signed MX, its host in an unsigned zone", "signed",
           mx=("mx.none",)),
    Domain("insecure-mx", "unsigned MX, its host in a signed zone with TLSA",
           mx=("mx.hosting",)),
    Domain("hosting", "a mail provider's signed zone", "signed",
           one(tlsa=MATCH), mx=()),
    Domain("bogus-mx", "the zone's DS fits no key", "bogus",
           one(tlsa=MATCH)),
    Domain("bogus-mx-set", "the MX records' signature is broken", "signed",
           one(tlsa=MATCH), bogus=("@ MX",)),
    # --- MTA-STS -----------------------------------------------------------
    Domain("sts-enforce", "enforce, all is well", hosts=one(), sts=Sts()),
    Domain("sts-wildcard", "enforce, mx: *.sts-wildcard.test", hosts=one(),
           sts=Sts(mx=("*.sts-wildcard.test",))),
    Domain("sts-two", "enforce, two hosts; the first one's certificate is of "
           "another name", hosts=(Host("mx1", smtp="wrong-name"), Host("mx2")),
           sts=Sts()),
    Domain("sts-wrong-cert", "enforce, MX certificate of another name",
           hosts=one(smtp="wrong-name"), sts=Sts()),
    Domain("sts-expired-cert", "enforce, MX certificate expired",
           hosts=one(smtp="expired"), sts=Sts()),
    Domain("sts-selfsigned-cert", "enforce, MX certificate self-signed",
           hosts=one(smtp="self-signed"), sts=Sts()),
    Domain("sts-plain", "enforce, MX without STARTTLS",
           hosts=one(smtp="plain"), sts=Sts()),
    Domain("sts-broken", "enforce, and no TLS after STARTTLS",
           hosts=one(smtp="broken"), sts=Sts()),
    Domain("sts-unlisted", "enforce, MX host not in the policy", hosts=one(),
           sts=Sts(mx=("mail.sts-unlisted.test",))),
    Domain("sts-testing", "testing, MX certificate of another name",
           hosts=one(smtp="wrong-name"), sts=Sts("testing")),
    Domain("sts-none", "mode none", hosts=one(smtp="self-signed"),
           sts=Sts("none", mx=())),
    Domain("sts-zero", "enforce with max_age 0", hosts=one(),
           sts=Sts(max_age=0)),
    Domain("sts-signed", "enforce, signed zone without TLSA", "signed", one(),
           sts=Sts()),
    Domain("sts-delegated", "enforce, TXT record and policy host are aliases",
           hosts=one(), sts=Sts(web="delegated")),
    Domain("bücher", "a U-label domain with enforce", hosts=one(), sts=Sts()),
    # changed while the test runs
    Domain("sts-new-id", "enforce, then a new policy", hosts=one(),
           sts=Sts()),
    Domain("sts-refreshed", "enforce, then a new policy that nobody asks for",
           hosts=one(), sts=Sts()),
    Domain("sts-purged", "enforce, then nothing at all", hosts=one(),
           sts=Sts()),
    *(Domain(f"kept-{how}", f"enforce, then somebody {what}",
             "signed" if how == "bogus" else "unsigned",
             hosts=one(smtp="wrong-name"), sts=Sts())
      for how, what in (
          ("absent", "removes the TXT record"),
          ("bogus", "breaks the TXT record's signature"),
          ("nxdomain", "denies that the domain exists"),
          ("null-mx", "says that it takes no mail"),
          ("refused", "shoots the policy host down"),
          ("404", "removes the policy file"),
          ("impostor", "takes the policy host over"),
          ("invalid", "breaks the policy file"))),
    # policy hosts that fail; the MX host's certificate is of another name, so
    # that mail is only delivered if no policy is in force
    *(Domain(f"web-{web}", f"enforce, but its policy host: {about}",
             hosts=one(smtp="wrong-name"), sts=Sts(web=web))
      for web, about in (
          ("wrong-name", "certificate of another name"),
          ("expired", "certificate expired"),
          ("self-signed", "certificate self-signed"),
          ("404", "no such file"),
          ("redirect", "redirects to a valid policy"),
          ("html", "content type text/html"),
          ("oversized", "more than 64 KiB"),
          ("slow", "one byte a second"),
          ("refused", "nobody listens there"),
          ("loopback", "its address is 127.0.0.1"))),
    Domain("web-quiet", "enforce, but no such file; wants no reports",
           hosts=one(smtp="wrong-name"), sts=Sts(web="404"), tlsrpt=""),
    # policy texts that are invalid or hostile
    Domain("text-invalid", "policy file without a mode",
           hosts=one(smtp="wrong-name"),
           sts=Sts(text="version: STSv1\r\nmx: mx.text-invalid.test\r\n"
                        "max_age: 86400\r\n")),
    Domain("text-bad-mx", "an mx line that tries to add attributes",
           hosts=one(smtp="wrong-name"),
           sts=Sts(mx=("mx.text-bad-mx.test",
                       "a} servername=evil.test { policy_string = x"))),
    Domain("text-hostile", "enforce, with extension lines that try to add "
           "attributes", hosts=one(),
           sts=Sts(extra="note: } servername=evil.test { policy_string = x\r\n"
                         "other: a, servername=evil.test\r\n")),
    Domain("txt-two", "two _mta-sts records", hosts=one(smtp="wrong-name"),
           sts=Sts(txt=("v=STSv1; id=1", "v=STSv1; id=2"))),
    # --- whom postern-report tells ------------------------------------------
    Domain("reporter", "its name in reports, which it signs", tlsrpt=""),
    Domain("reports", "takes reports, also for others", hosts=one()),
    Domain("told-good", "enforce, all is well", hosts=one(), sts=Sts(),
           tlsrpt="v=TLSRPTv1; rua=mailto:tls@reports.test,"
                  "https://rua.reports.test/told"),
    Domain("told-bad", "enforce, MX certificate of another name",
           hosts=one(smtp="wrong-name"), sts=Sts(),
           tlsrpt="v=TLSRPTv1;rua=https://rua.reports.test/told, "
                  "mailto:tls@reports.test;"),
    # --- both --------------------------------------------------------------
    Domain("both", "enforce, both fit", "signed", one(tlsa=MATCH),
           sts=Sts()),
    Domain("both-dane-bad", "enforce fits, DANE does not: DANE counts",
           "signed", one(tlsa=("mismatch",)), sts=Sts()),
    Domain("both-partial", "enforce, and only one of two hosts has TLSA",
           "signed", (Host("mx1", tlsa=MATCH), Host("mx2")), sts=Sts()),
    Domain("both-unusable", "enforce, and TLSA records of usage 1 only",
           "signed", one(tlsa=("unusable",)), sts=Sts()),
    Domain("both-insecure", "enforce, unsigned MX, host with TLSA",
           mx=("mx.hosting",), sts=Sts()),
    Domain("both-bogus", "enforce, the TLSA record's signature is broken",
           "signed", one(tlsa=MATCH), bogus=("_25._tcp.mx TLSA",), sts=Sts()),
]

BY_NAME = {d.name: d for d in DOMAINS}
HOSTS = {h.name: h for d in DOMAINS for h in d.hosts}
assert len(HOSTS) == sum(len(d.hosts) for d in DOMAINS), "host names repeat"

for _number, _host in enumerate(HOSTS.values(), start=100):
    _host.address = (f"{V4}{_number}", f"{V6}{_number}")
assert 100 + len(HOSTS) < 255, "out of addresses"
