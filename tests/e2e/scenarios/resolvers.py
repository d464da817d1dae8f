"""The resolver is missing, goes away, or does not validate."""

import re

from cases import NONE, secure
from checks import DANE, STS, equal, is_temp
from daemon import ask
from testnet import PATIENCE, wait_for

OTHER_RESOLVER = "127.0.0.2"


def recovered(domain):
    """Whether there is the DANE answer; until then it is TEMP, nothing less."""
    reply = ask(domain)
    assert reply == "OK dane-only" or reply.startswith("TEMP "), \
        f"weaker than TEMP while the resolver comes back: {reply!r}"
    return reply == "OK dane-only"


def no_resolver_at_start(bench):
    """Starts all the same, says so, and recovers when there is one."""
    with bench.daemon("noresolver", dns__server=OTHER_RESOLVER,
                      dns__timeout="1s") as daemon:
        is_temp(ask(DANE), "without a resolver")
        assert f"server={OTHER_RESOLVER}" in daemon.text(), \
            "the log does not name the resolver"
        resolver = bench.internet.resolver(OTHER_RESOLVER)
        try:
            wait_for(lambda: recovered(DANE), PATIENCE, "recovery")
        finally:
            resolver.kill()
            resolver.wait()


def resolver_gone(bench):
    """TEMP with a reason, mail is deferred; all is well when it is back."""
    resolver = bench.internet.resolver(OTHER_RESOLVER)
    try:
        with bench.daemon("gone", dns__server=OTHER_RESOLVER,
                          dns__timeout="1s"):
            wait_for(lambda: recovered(DANE), PATIENCE, "the answer before")
            resolver.kill()
            resolver.wait()
            is_temp(ask("dane-ta.test"), "without a resolver")
            delivery = bench.send_and_wait("dane-selfsigned.test")
            equal(delivery.status, "deferred", "delivery")
            assert re.search("temporary error: .*dane-selfsigned.test",
                             bench.log.text()), "no reason in Postfix's log"
            resolver = bench.internet.resolver(OTHER_RESOLVER)
            wait_for(lambda: recovered("dane-ta.test"), PATIENCE, "recovery")
    finally:
        resolver.kill()
        resolver.wait()


def resolver_does_not_validate(bench):
    """DANE is off, MTA-STS still works, nothing is deferred."""
    resolver = bench.internet.resolver(OTHER_RESOLVER, validating=False)
    try:
        with bench.daemon("novalidation",
                          dns__server=OTHER_RESOLVER) as daemon:
            equal(ask(DANE), NONE, "DANE domain")
            equal(ask("bogus-mx.test"), NONE, "bogus domain")
            equal(ask(STS), secure("mx.sts-enforce.test"), "MTA-STS domain")
            for domain in (DANE, STS):
                delivery = bench.send_and_wait(domain)
                equal(delivery.status, "sent", f"delivery to {domain}")
            assert "validat" in daemon.text(), "no word of it in the log"
    finally:
        resolver.kill()
        resolver.wait()


SCENARIOS = [no_resolver_at_start, resolver_gone, resolver_does_not_validate]
