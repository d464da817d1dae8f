"""What is expected: a table of mails, a table of questions, and scenarios.

MAILS: a message to user@<domain> goes through Postfix; then the daemon is
asked the same question. QUESTIONS are asked over the socket only. SCENARIOS
(at the end of the run, one after the other) stop, kill and reconfigure things.
"""

from dataclasses import dataclass

NONE = "NOTFOUND "
NOT_VERIFIED = "Server certificate not verified"
NO_STARTTLS = "TLS is required, but was not offered"


def secure(*match):
    return f"OK secure match={':'.join(match)} servername=hostname"


def tlsrpt(domain, *patterns, strings):
    """The reply in the policy-tlsrpt dialect."""
    match = [p.removeprefix("*") for p in patterns]
    return " ".join([
        secure(*match), "policy_type=sts", f"policy_domain={domain}",
        *(f"mx_host_pattern={p}" for p in patterns),
        *(f"{{ policy_string = {s} }}" for s in strings)])


@dataclass
class Mail:
    """One delivery.

    domain: of the recipient, below test.
    reply:  the daemon's, exactly; "TEMP" stands for TEMP and any reason.
    status: sent, deferred, bounced.
    tls:    the last connection's level in Postfix's log: Verified, Trusted,
            Untrusted, or none (no TLS, or no connection).
    relay:  the host it was (last) tried at, where that matters.
    reason: a part of the reason on Postfix's delivery line.
    log:    a regular expression that Postfix's log must match.
    """

    domain: str
    reply: str
    status: str
    tls: str
    relay: str = None
    reason: str = ""
    log: str = ""


MAILS = [
    # no policy
    Mail("none", NONE, "sent", "Trusted"),
    Mail("none-plain", NONE, "sent", "none"),
    Mail("none-selfsigned", NONE, "sent", "Untrusted"),
    Mail("none-signed", NONE, "sent", "Trusted"),
    Mail("none-implicit", NONE, "sent", "Trusted", "none-implicit.test"),
    Mail("null-mx", NONE, "bounced", "none", reason="nullMX"),
    Mail("no-address", NONE, "bounced", "none"),
    Mail("nxdomain", NONE, "bounced", "none"),
    # DANE
    Mail("dane-match", "OK dane-only", "sent", "Verified"),
    Mail("dane-mismatch", "OK dane-only", "deferred", "Untrusted",
         reason=NOT_VERIFIED),
    Mail("dane-selfsigned", "OK dane-only", "sent", "Verified"),
    Mail("dane-ta", "OK dane-only", "sent", "Verified"),
    Mail("dane-ipv6", "OK dane-only", "sent", "Verified"),
    Mail("dane-two", "OK dane-only", "sent", "Verified", "mx2.dane-two.test"),
    Mail("dane-partial", "OK dane", "sent", "Verified",
         "mx1.dane-partial.test"),
    Mail("dane-partial-bad", "OK dane", "sent", "Trusted",
         "mx2.dane-partial-bad.test"),
    Mail("dane-plain", "OK dane-only", "deferred", "none",
         reason=NO_STARTTLS),
    Mail("dane-unusable", "OK dane", "sent", "Trusted"),
    Mail("dane-cname", "OK dane-only", "sent", "Verified"),
    Mail("dane-alias", "OK dane-only", "sent", "Verified"),
    Mail("dane-key", "OK dane-only", "sent", "Verified"),
    Mail("dane-port", NONE, "sent", "Trusted"),
    Mail("dane-bogus-tlsa", "OK dane", "deferred", "none",
         reason="TLSA lookup error"),
    Mail("dane-bogus-second", "OK dane", "sent", "Verified",
         "mx1.dane-bogus-second.test"),
    Mail("dane-away", NONE, "sent", "Trusted", "mx.none.test"),
    Mail("insecure-mx", "OK dane", "sent", "Trusted", "mx.hosting.test"),
    Mail("bogus-mx", "TEMP", "deferred", "none", reason="try again"),
    # MTA-STS
    Mail("sts-enforce", secure("mx.sts-enforce.test"), "sent", "Verified"),
    Mail("sts-wildcard", secure(".sts-wildcard.test"), "sent", "Verified"),
    Mail("sts-two", secure("mx1.sts-two.test", "mx2.sts-two.test"), "sent",
         "Verified", "mx2.sts-two.test"),
    Mail("sts-wrong-cert", secure("mx.sts-wrong-cert.test"), "deferred",
         "Untrusted", reason=NOT_VERIFIED),
    Mail("sts-expired-cert", secure("mx.sts-expired-cert.test"), "deferred",
         "Untrusted", reason=NOT_VERIFIED),
    Mail("sts-selfsigned-cert", secure("mx.sts-selfsigned-cert.test"),
         "deferred", "Untrusted", reason=NOT_VERIFIED),
    Mail("sts-plain", secure("mx.sts-plain.test"), "deferred", "none",
         reason=NO_STARTTLS),
    Mail("sts-unlisted", secure("mail.sts-unlisted.test"), "deferred",
         "Untrusted", reason=NOT_VERIFIED),
    Mail("sts-testing", NONE, "sent", "Trusted"),
    Mail("sts-none", NONE, "sent", "Untrusted"),
    Mail("sts-zero", secure("mx.sts-zero.test"), "sent", "Verified"),
    Mail("sts-signed", secure("mx.sts-signed.test"), "sent", "Verified"),
    Mail("sts-delegated", secure("mx.sts-delegated.test"), "sent", "Verified"),
    Mail("bücher", secure("mx.xn--bcher-kva.test"), "sent", "Verified"),
    # policies that do not count: the MX certificate is wrong, mail is sent
    *(Mail(domain, NONE, "sent", "Trusted") for domain in (
        "web-wrong-name", "web-expired", "web-self-signed", "web-404",
        "web-redirect", "web-html", "web-oversized", "web-refused",
        "web-loopback", "text-invalid", "text-bad-mx", "txt-two")),
    Mail("text-hostile", secure("mx.text-hostile.test"), "sent", "Verified"),
    # both
    Mail("both", "OK dane-only", "sent", "Verified"),
    Mail("both-dane-bad", "OK dane-only", "deferred", "Untrusted",
         reason=NOT_VERIFIED),
    Mail("both-partial", secure("mx1.both-partial.test",
                                "mx2.both-partial.test"), "sent", "Verified"),
    Mail("both-unusable", secure("mx.both-unusable.test"), "sent", "Verified"),
    Mail("both-insecure", secure("mx.hosting.test"), "sent", "Verified"),
    Mail("both-bogus", "TEMP", "deferred", "none",
         log=r"socketmap server temporary error: .*both-bogus"),
]

SINGLE = ("version: STSv1", "mode: enforce", "mx: mx.sts-enforce.test",
          "max_age: 86400")
WILDCARD = ("version: STSv1", "mode: enforce", "mx: *.sts-wildcard.test",
            "max_age: 86400")

# (key, map name, reply)
QUESTIONS = [
    ("STS-Enforce.TEST.", "policy", secure("mx.sts-enforce.test")),
    ("bücher.test", "policy", secure("mx.xn--bcher-kva.test")),
    ("xn--bcher-kva.test", "policy", secure("mx.xn--bcher-kva.test")),
    ("sts-enforce.test", "QUERY", secure("mx.sts-enforce.test")),
    ("sts-enforce.test", "postfix", secure("mx.sts-enforce.test")),
    ("sts-enforce.test", "policy-tlsrpt", tlsrpt(
        "sts-enforce.test", "mx.sts-enforce.test", strings=SINGLE)),
    ("sts-wildcard.test", "policy-tlsrpt", tlsrpt(
        "sts-wildcard.test", "*.sts-wildcard.test", strings=WILDCARD)),
    ("sts-wildcard.test", "QUERYwithTLSRPT", tlsrpt(
        "sts-wildcard.test", "*.sts-wildcard.test", strings=WILDCARD)),
    ("sts-testing.test", "policy-tlsrpt", NONE),
    ("dane-match.test", "policy-tlsrpt", "OK dane-only"),
    ("sts-enforce.test:587", "policy", secure("mx.sts-enforce.test")),
    ("dane-match.test:25", "policy", "OK dane-only"),
    ("dane-match.test:smtp", "policy", "OK dane-only"),
    ("dane-match.test:2525", "policy", NONE),
    ("dane-port.test:2525", "policy", "OK dane-only"),
    ("[mx.dane-port.test]:2525", "policy", "OK dane-only"),
    ("[mx.dane-match.test]", "policy", "OK dane-only"),
    ("[mx.dane-match.test]:25", "policy", "OK dane-only"),
    ("[mx.dane-cname.test]", "policy", "OK dane-only"),
    ("[mx.none.test]", "policy", NONE),
    ("[sts-enforce.test]", "policy", secure("mx.sts-enforce.test")),
    (".sts-enforce.test", "policy", NONE),
    ("[192.0.2.100]", "policy", NONE),
    ("[IPv6:2001:db8::100]", "policy", NONE),
    ("unix:/some/where", "policy", NONE),
    ("not a name", "policy", NONE),
    ("", "policy", NONE),
    ("sts-enforce.test", "nonsense", "PERM unknown map nonsense"),
]
