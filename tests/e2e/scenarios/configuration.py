"""Overrides, and what SIGHUP takes up."""

import contextlib
import errno
import os
import signal

from cases import NONE, secure
from checks import DANE, STS, equal, found_in
from daemon import Client, ask
from sender import SOCKET
from testnet import PATIENCE, wait_for

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
USER = "nobody"
TABLE = "postern_table_entries"
LOOKUPS = "postern_lookups_in_flight"
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
        wait_for(lambda: "event=resolver_silent" in daemon.text(), PATIENCE,
                 "the complaint about the resolver")
        reply = client.ask("dane-ta.test")
        assert reply.startswith("TEMP "), f"without a resolver: {reply!r}"
        daemon.own["dns__server"] = "127.0.0.1"
        daemon.configure()
        found_in("event=reloaded", daemon.reload(), "the log")
        wait_for(lambda: "OK dane-only" == client.ask(DANE), PATIENCE,
                 "an answer by the new resolver")

        daemon.configure(policy__lisen="unix:/x", dns__server=NOBODY)
        found_in(rf"event=reload_failed .*{daemon.config}:\d+: "
                 r".*policy\.listen", daemon.reload(), "the log")
        equal(daemon.metric(FAILED), 1, FAILED)
        wait_for(lambda: client.ask("dane-key.test") == "OK dane-only",
                 PATIENCE, "the old resolver, after a bad configuration")
        daemon.configure(sts__ca_file="/no/such/file")
        found_in("event=reload_failed .*/no/such/file", daemon.reload(),
                 "the log")

        daemon.configure(policy__listen=f"unix:{SOCKET}.new",
                         dane__enabled="no")
        text = daemon.reload()
        found_in(r"event=restart_needed keys=policy\.listen ", text, "the log")
        equal(client.ask(DANE), NONE, "what can be taken up is")
        equal(ask(STS), secure("mx." + STS), "the old socket")


@contextlib.contextmanager
def hanging_reload(daemon):
    """A reload that waits for the overrides: a pipe; the end to write to."""
    path = daemon.own["policy__overrides"]
    path.unlink()
    os.mkfifo(path)

    def writing_end():
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO, error  # nobody reads yet
            return None
    daemon.process.send_signal(signal.SIGHUP)
    fd = wait_for(writing_end, PATIENCE, "the reload")
    path.unlink()
    with open(fd, "w", encoding="ascii") as pipe:
        yield pipe


def reload_that_hangs(bench):
    """A file that hangs holds up neither answers nor the end."""
    daemon = with_overrides(bench, "hanging", "")
    with daemon, Client() as client:
        equal(client.ask(STS), secure("mx." + STS), "before")
        with hanging_reload(daemon):
            equal(client.ask(STS + ":587"), secure("mx." + STS),
                  "what is remembered")
            equal(client.ask(DANE), "OK dane-only", "what is looked up")
            assert "policies_not_read" not in daemon.text(), daemon.text()
            equal(daemon.stop(), 0, "exit status")


def reload_during_a_reload(bench):
    """The last SIGHUP's files are in force, also if the one before hung."""
    daemon = with_overrides(bench, "again", "")
    path = daemon.own["policy__overrides"]
    with daemon, Client() as client:
        with hanging_reload(daemon) as pipe:
            path.write_text(f"{DANE} may\n")
            daemon.process.send_signal(signal.SIGHUP)
            for _ in range(2):  # with the second answer it has been heard
                equal(client.ask(DANE), "OK dane-only", "before")
            pipe.write(f"{DANE} encrypt\n")
        wait_for(lambda: client.ask(DANE) == "OK may", PATIENCE,
                 "the newest line")
        equal(daemon.text().count("event=reloaded"), 2, "reloads")


def reload_of_the_resolver(bench):
    """What another resolver said is not kept; other answers are."""
    with bench.daemon("resolvers") as daemon, Client() as client:
        equal(client.ask(DANE), "OK dane-only", "before")
        wait_for(lambda: daemon.metric(LOOKUPS) == 0, PATIENCE, "the lookup")
        daemon.configure(sts__fetch_timeout="50s")
        found_in("event=reloaded", daemon.reload(), "the log")
        equal(daemon.metric(TABLE), 1, "answers, with the same resolver")
        daemon.configure(dns__server=["127.0.0.1", NOBODY])
        found_in("event=reloaded", daemon.reload(), "the log")
        equal(daemon.metric(TABLE), 0, "answers, with another one")
        wait_for(lambda: "OK dane-only" == client.ask(DANE), PATIENCE,
                 "an answer by the new resolver")


def reload_wants_more_files(bench):
    """More connections than there can be files: said at a reload, too."""
    folder = SOCKET.parent.with_name("postern-files")
    daemon = bench.daemon("files", run__user=USER,
                          policy__listen=f"unix:{folder}/policy.sock",
                          policy__max_connections=100)
    daemon.launch(prefix=["prlimit", "--nofile=9000:9000"])
    with daemon:
        daemon.wait_ready()
        assert "few_open_files" not in daemon.text(), daemon.text()
        daemon.configure(policy__max_connections=10000)
        found_in("event=few_open_files limit=9000 wanted=18192 ",
                 daemon.reload(), "the log")


SCENARIOS = [overrides, reload_overrides, reload_configuration,
             reload_that_hangs, reload_during_a_reload, reload_of_the_resolver,
             reload_wants_more_files]
