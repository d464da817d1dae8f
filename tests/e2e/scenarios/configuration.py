"""Overrides, and what SIGHUP takes up."""

from cases import NONE, secure
from checks import DANE, STS, equal, found_in
from daemon import Client, ask
from sender import SOCKET
from testnet import wait_for

MX_NONE = "secure match=mx.none.test servername=hostname"
OVERRIDES = f"""\
{STS}           off
none.test       {MX_NONE}
both.test       dane-off
dane-match.test sts-off
both-partial.test  sts-off   # without enforce: each host for itself
.parent.test    secure match=.parent.test
none-signed.test encrypt
"""
NOBODY = "127.0.0.9"  # no resolver
RECOVERY = 15  # seconds
FROM_MEMORY = "postern_answers_from_memory_total"
FAILED = 'postern_reloads_total{result="failed"}'


def overrides_file(daemon, text):
    path = daemon.log.with_suffix(".overrides")
    path.write_text(text)
    return path


def with_overrides(bench, name, text):
    """A Daemon that is told to use them."""
    daemon = bench.daemon(name)
    daemon.own["policy__overrides"] = overrides_file(daemon, text)
    daemon.configure()
    return daemon


def overrides(bench):
    """The administrator's word is the answer, also through Postfix."""
    with with_overrides(bench, "overrides", OVERRIDES) as daemon:
        for key, reply in ((STS, NONE), (STS + ":587", NONE),
                           ("none.test", "OK " + MX_NONE),
                           ("both.test", secure("mx.both.test")),
                           (DANE, "OK dane-only"),
                           ("both-partial.test", "OK dane"),
                           ("a.parent.test", "OK secure match=.parent.test"),
                           ("b.c.parent.test", "OK secure match=.parent.test"),
                           ("parent.test", NONE),
                           ("none-signed.test", "OK encrypt")):
            equal(ask(key), reply, key)
            equal(ask(key), reply, f"{key}, again")
        equal(ask("none.test", "policy-tlsrpt"), "OK " + MX_NONE, "TLSRPT")
        delivery = bench.send_and_wait("none.test")
        equal((delivery.status, delivery.tls), ("sent", "Verified"),
              "mail under `secure`")
        found = daemon.command("query", "none.test")
        found_in(f"{daemon.own['policy__overrides']}", found.stdout, "query")


def reload_overrides(bench):
    """SIGHUP: new answers at once, nothing else changes; faults change nothing.
    """
    daemon = with_overrides(bench, "reloaded", OVERRIDES)
    path = daemon.own["policy__overrides"]
    with daemon, Client() as client:
        equal(client.ask(STS), NONE, "before")
        equal(client.ask("sts-two.test"),
              secure("mx1.sts-two.test", "mx2.sts-two.test"), "before")
        path.write_text(f"none.test {MX_NONE}\n{DANE} may\n")
        found_in(r"event=reloaded overrides=2\b", daemon.reload(), "the log")
        equal(client.ask(STS), secure("mx." + STS), "the line that is gone")
        equal(client.ask(DANE), "OK may", "the line that has come")
        hits = daemon.metric(FROM_MEMORY)
        client.ask("sts-two.test")
        equal(daemon.metric(FROM_MEMORY), hits + 1, "hits in memory")

        path.write_text(f"none.test off\n{DANE} mya\n")
        text = daemon.reload()
        found_in(rf"level=error event=reload_failed .*{path}:2: 'mya'", text,
                 "the log")
        equal(daemon.metric(FAILED), 1, FAILED)
        equal(client.ask(DANE), "OK may", "the old line")
        equal(client.ask("none.test"), "OK " + MX_NONE, "the other old line")
        path.unlink()
        found_in(f"event=reload_failed .*{path}", daemon.reload(), "the log")
        equal(client.ask(DANE), "OK may", "the old line without a file")
        path.write_text("")
        found_in(r"event=reloaded overrides=0\b", daemon.reload(), "the log")
        equal(client.ask(DANE), "OK dane-only", "without any line")


def reload_configuration(bench):
    """SIGHUP takes up what it can, says what it cannot, and refuses faults."""
    with bench.daemon("reconfigured", dns__timeout="1s",
                      dns__server=NOBODY) as daemon, Client() as client:
        wait_for(lambda: "event=resolver_silent" in daemon.text(), RECOVERY,
                 "the complaint about the resolver")
        reply = client.ask("dane-ta.test")
        assert reply.startswith("TEMP "), f"without a resolver: {reply!r}"
        daemon.own["dns__server"] = "127.0.0.1"
        daemon.configure()
        found_in("event=reloaded", daemon.reload(), "the log")
        wait_for(lambda: "OK dane-only" == client.ask(DANE), RECOVERY,
                 "an answer by the new resolver")

        daemon.configure(policy__lisen="unix:/x", dns__server=NOBODY)
        found_in(rf"event=reload_failed .*{daemon.config}:\d+: "
                 r".*policy\.listen", daemon.reload(), "the log")
        equal(daemon.metric(FAILED), 1, FAILED)
        equal(client.ask("dane-key.test"), "OK dane-only",
              "the old resolver, after a bad configuration")
        daemon.configure(sts__ca_file="/no/such/file")
        found_in("event=reload_failed .*/no/such/file", daemon.reload(),
                 "the log")

        daemon.configure(policy__listen=f"unix:{SOCKET}.new",
                         dane__enabled="no")
        text = daemon.reload()
        found_in(r"event=restart_needed keys=policy\.listen ", text, "the log")
        equal(client.ask(DANE), NONE, "what can be taken up is")
        equal(ask(STS), secure("mx." + STS), "the old socket")


SCENARIOS = [overrides, reload_overrides, reload_configuration]
