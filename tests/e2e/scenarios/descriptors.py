"""Descriptors are few, and a resolver that is silent wants many."""

import contextlib
import os
import select
import signal

from cases import secure
from checks import DANE, STS, equal, is_temp
from daemon import STOP_LIMIT, Client

RESOLVER = "127.0.0.2"
FEW = 1024  # what a shell or a container gives
UNKNOWN = 200  # domains
KNOWN = {DANE: "OK dane-only", STS: secure("mx." + STS)}
FROM_MEMORY = "postern_answers_from_memory_total"


@contextlib.contextmanager
def silent_resolver(bench):
    """An Unbound; and the function by which it falls silent: the kernel takes
    questions for it, and nobody answers."""
    resolver = bench.internet.resolver(RESOLVER)

    def silence():
        resolver.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, resolver.pid, os.WSTOPPED)
    try:
        yield silence
    finally:
        resolver.kill()
        resolver.wait()


def few_descriptors(bench):
    """Many unknown domains at once: each gets TEMP, known ones their answers
    meanwhile, and the daemon lives."""
    daemon = bench.daemon("descriptors", dns__server=RESOLVER)
    with silent_resolver(bench) as silence, contextlib.ExitStack() as stack:
        daemon.start(prefix=["prlimit", f"--nofile={FEW}:{FEW}"])
        stack.enter_context(daemon)
        known = stack.enter_context(Client())
        for domain, expected in KNOWN.items():
            equal(known.ask(domain), expected, f"{domain} before")
        silence()
        try:
            asked, hits = 0, daemon.metric(FROM_MEMORY)
            for waiting in ask_all(stack):
                for domain, expected in KNOWN.items():
                    equal(known.ask(domain), expected,
                          f"{domain}, while {waiting} wait")
                    asked += 1
            equal(daemon.metric(FROM_MEMORY) - hits, asked,
                  "answers without a lookup")
        except OSError:
            daemon.process.wait(STOP_LIMIT)
            daemon.check_alive()  # says how it ended
            raise


def ask_all(stack):
    """Asks for the unknown domains; yields how many wait, until none does."""
    waiting = {}
    for number in range(UNKNOWN):
        client = stack.enter_context(Client())
        client.send_question(f"unknown{number}.test")
        waiting[client.socket] = client
    while waiting:
        yield len(waiting)
        for ready in select.select(list(waiting), [], [], 0.1)[0]:
            reply = waiting.pop(ready).reply()
            if reply is None:
                raise ConnectionError("the daemon hung up")
            is_temp(reply, "an unknown domain")


SCENARIOS = [few_descriptors]
