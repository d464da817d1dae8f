#!/usr/bin/python3
"""chaos_dns.py PORT UPSTREAM [SEED]: a resolver that fails at random.

Stands between the daemon and the bench's Unbound, and passes most questions
on. Of the others some are dropped, answered late, with SERVFAIL or REFUSED,
truncated (over TCP most are answered), with garbage, under a wrong id, empty,
or with another policy id than yesterday. Now and then it is silent for some
seconds, as a resolver that is restarted.

Contract: UDP and TCP on 127.0.0.1, runs until killed.
"""

import asyncio
import random
import struct
import sys

# What happens to one question in a thousand.
FATES = {"drop": 20, "late": 40, "servfail": 25, "refused": 10,
         "truncate": 20, "garbage": 10, "wrong_id": 5, "empty": 5,
         "mangle": 10, "new_policy": 60}
TCP_FATES = {"pass": 80, "close": 10, "garbage": 5, "hang": 5}
LATE = 3.0          # seconds at most
SILENCE_EVERY = 45  # seconds, about
SILENCE = 4
SERVFAIL, REFUSED = 2, 5


def header(question, rcode=0, truncated=False):
    """An empty answer."""
    flags = 0x8180 | rcode | (0x0200 if truncated else 0)
    return question[:2] + struct.pack("!H", flags) + question[4:6] + bytes(6)


def question_end(message):
    end = 12
    while end < len(message) and message[end]:
        end += message[end] + 1
    return end + 5


def empty_answer(question, rcode=0, truncated=False):
    return (header(question, rcode, truncated)
            + question[12:question_end(question)])


class Upstream(asyncio.DatagramProtocol):
    """Questions to Unbound, each under an id of its own."""

    def __init__(self):
        self.waiting = {}
        self.next_id = 0

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, _):
        waiting = self.waiting.pop(data[:2], None)
        if waiting:
            original_id, reply = waiting
            reply(original_id + data[2:])

    def ask(self, question, reply):
        self.next_id = (self.next_id + 1) % 65536
        key = struct.pack("!H", self.next_id)
        self.waiting[key] = question[:2], reply
        self.transport.sendto(key + question[2:])


class Resolver(asyncio.DatagramProtocol):
    def __init__(self, upstream, chance):
        self.upstream = upstream
        self.chance = chance
        self.silent = False

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, client):
        if self.silent or len(data) < 17:
            return
        fate = self.fate()
        send = self.transport.sendto
        if fate in ("servfail", "refused", "truncate", "empty"):
            rcode = {"servfail": SERVFAIL, "refused": REFUSED}.get(fate, 0)
            send(empty_answer(data, rcode, fate == "truncate"), client)
        elif fate == "garbage":
            send(data[:2] + self.chance.randbytes(self.chance.randrange(600)),
                 client)
        elif fate != "drop":
            self.upstream.ask(data, lambda answer: self.pass_on(
                answer, client, fate))

    def fate(self):
        point = self.chance.randrange(1000)
        for fate, share in FATES.items():
            point -= share
            if point < 0:
                return fate
        return "pass"

    def pass_on(self, answer, client, fate):
        if fate == "wrong_id":
            answer = bytes((answer[0] ^ 1,)) + answer[1:]
        elif fate == "mangle":
            answer = bytearray(answer)
            for _ in range(3):
                answer[self.chance.randrange(12, len(answer))] = (
                    self.chance.randrange(256))
        elif fate == "new_policy":
            answer = answer.replace(b"id=1", b"id=%d" % (
                self.chance.randrange(10)))
        delay = self.chance.random() * LATE if fate == "late" else 0
        if delay:
            asyncio.get_running_loop().call_later(
                delay, self.transport.sendto, bytes(answer), client)
        else:
            self.transport.sendto(bytes(answer), client)

    async def be_silent_at_times(self):
        while True:
            await asyncio.sleep(SILENCE_EVERY * (0.5 + self.chance.random()))
            self.silent = True
            await asyncio.sleep(SILENCE)
            self.silent = False

    async def serve_tcp(self, reader, writer):
        try:
            length = struct.unpack("!H", await reader.readexactly(2))[0]
            question = await reader.readexactly(length)
            fate, = self.chance.choices(*zip(*TCP_FATES.items()))
            if fate == "hang":
                await asyncio.sleep(10)
            elif fate == "garbage":
                writer.write(self.chance.randbytes(50))
            elif fate == "pass" and not self.silent:
                answer = asyncio.get_running_loop().create_future()
                self.upstream.ask(question, lambda a: answer.done()
                                  or answer.set_result(a))
                answer = await asyncio.wait_for(answer, 5)
                writer.write(struct.pack("!H", len(answer)) + answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            pass
        writer.close()


async def main():
    port, upstream_address = int(sys.argv[1]), sys.argv[2]
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    loop = asyncio.get_running_loop()
    _, upstream = await loop.create_datagram_endpoint(
        Upstream, remote_addr=(upstream_address, 53))
    _, resolver = await loop.create_datagram_endpoint(
        lambda: Resolver(upstream, chance), local_addr=("127.0.0.1", port))
    await asyncio.start_server(resolver.serve_tcp, "127.0.0.1", port)
    await resolver.be_silent_at_times()


if __name__ == "__main__":
    asyncio.run(main())
