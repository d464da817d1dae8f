#!/usr/bin/python3
"""clients.py SOCKET DOMAINS CONNECTIONS [SEED]: socketmap clients, at random.

They come, ask some questions, and go: some in the middle of a request or
before the answer, some send nonsense, two requests at once, or ask for maps
that there are not. Every reply must be of a known form.

Prints a line of JSON when it is ended by SIGTERM: the replies by form, the
slowest, and the first bad ones.
"""

import asyncio
import json
import random
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from internet import dane_domain, sts_domain  # noqa: E402

NAME = r"[a-z0-9._-]+"
ATTRIBUTES = (rf"( policy_type=sts policy_domain={NAME}"
              rf"( mx_host_pattern=\*?{NAME})+"
              r"( \{ policy_string = [^{}]+ \})*)?")
FORMS = {
    "secure": rf"OK secure match={NAME}(:{NAME})* servername=hostname"
              + ATTRIBUTES,
    "dane-only": r"OK dane-only", "dane": r"OK dane",
    "may": r"OK may" + ATTRIBUTES, "override": r"OK encrypt",
    "notfound": r"NOTFOUND ",
    # A reason in words.
    "temp": r"TEMP \S+( \S+){2,}",
    "perm": r"PERM unknown map nosuchmap"}
FORMS = {name: re.compile(form) for name, form in FORMS.items()}
MAPS = ("policy", "policy", "policy-tlsrpt", "QUERY", "QUERYwithTLSRPT")
JUNK = (".example.com", "192.0.2.1", "[192.0.2.1]:25", "unix:/run/x",
        "inet:host:25", "a..b", "x" * 300, "\xff\xfe", "", "-", "*.test")
HOT = 300           # domains that most questions are about
ANSWER_LIMIT = 10   # seconds; the daemon's answer_timeout, and some
PAUSE = 0.05        # seconds between a client's questions, on average


class Clients:
    def __init__(self, path, domains, chance):
        self.path = path
        self.domains = domains
        self.chance = chance
        self.forms = Counter()
        self.events = Counter()
        self.bad = []
        self.slowest = 0.0

    def key(self):
        chance = self.chance
        hot = chance.random() < 0.7
        number = chance.randrange(HOT if hot else self.domains)
        point = chance.random()
        if point < 0.5:
            return sts_domain(number)
        if point < 0.85:
            return dane_domain(number)
        if point < 0.9:
            return f"x{chance.randrange(10**9)}.sts.test"
        if point < 0.93:
            return f"[mx.{dane_domain(number)}]:{chance.choice((25, 587))}"
        if point < 0.95:
            return dane_domain(number).upper() + "."
        if point < 0.97:
            return f"override{number % 3}.test"
        return chance.choice(JUNK)

    def request(self):
        name = self.chance.choice(MAPS)
        if self.chance.random() < 0.002:
            name = "nosuchmap"
        text = f"{name} {self.key()}".encode("latin-1")
        return b"%d:%s," % (len(text), text)

    async def run_client(self):
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self.path)
                self.events["connections"] += 1
                await self.session(reader, writer)
                writer.close()
            except OSError:
                self.events["refused"] += 1
                await asyncio.sleep(0.1)

    async def session(self, reader, writer):
        chance = self.chance
        for _ in range(chance.randrange(1, 100)):
            await asyncio.sleep(chance.random() * 2 * PAUSE)
            request = self.request()
            point = chance.random()
            if point < 0.002:
                self.events["half requests"] += 1
                writer.write(request[:chance.randrange(1, len(request))])
                await asyncio.sleep(chance.random())
                return
            if point < 0.004:
                self.events["nonsense"] += 1
                writer.write(chance.randbytes(chance.randrange(1, 50)))
                return
            if point < 0.010:
                self.events["gone before the answer"] += 1
                writer.write(request)
                return
            if point < 0.012:
                self.events["slow requests"] += 1
                for byte in request:
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(0.005)
                await self.check_reply(reader, request)
                continue
            count = 2 if point < 0.02 else 1
            writer.write(request * count)
            for _ in range(count):
                if not await self.check_reply(reader, request):
                    return

    async def check_reply(self, reader, request):
        started = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                length = await reader.readuntil(b":")
                payload = await reader.readexactly(int(length[:-1]) + 1)
        except TimeoutError:
            self.note_bad(request, "no answer in time")
            return False
        except asyncio.IncompleteReadError as error:
            # The daemon may only hang up when it stops.
            self.note_bad(request, f"hung up after {error.partial!r}")
            return False
        except ValueError:
            self.note_bad(request, "no netstring")
            return False
        self.slowest = max(self.slowest, time.monotonic() - started)
        text = payload[:-1].decode("latin-1")
        for name, form in FORMS.items():
            if form.fullmatch(text):
                self.forms[name] += 1
                return True
        self.note_bad(request, text)
        return True

    def note_bad(self, request, what):
        self.events["bad"] += 1
        if len(self.bad) < 5:
            self.bad.append(f"{request.decode('latin-1')[:60]!r}: "
                            f"{what[:300]}")

    def result(self):
        return {"forms": self.forms, "events": self.events, "bad": self.bad,
                "slowest": self.slowest}


async def main():
    path, domains, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    clients = Clients(path, domains, chance)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    tasks = [asyncio.create_task(clients.run_client()) for _ in range(count)]
    await ended.wait()
    result = json.dumps(clients.result())
    for task in tasks:
        task.cancel()
    print(result, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
