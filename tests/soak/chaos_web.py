#!/usr/bin/python3
"""chaos_web.py TLS_FOLDER [SEED]: policy hosts that fail at random.

Serves the names of bench/internet.py under sts.test on port 443. About half of
the requests get the policy; the others another mode, an invalid policy, a
status that is no success, a wrong type, a wrong or broken certificate, a body
without an end; or the connection hangs, drips, is cut, or reset.

Contract: runs until killed. SIGUSR1 ends all connections.
"""

import asyncio
import random
import re
import signal
import socket
import ssl
import struct
import sys
from pathlib import Path

POLICY = "version: STSv1\nmode: {}\nmx: mx.{}\nmx: *.{}\nmax_age: {}\n"
FATES = {"enforce": 50, "testing": 5, "none": 3, "short": 3, "zero": 1,
         "long": 2, "not_found": 4, "redirect": 2, "error": 3,
         "wrong_type": 2, "invalid": 4, "binary": 2, "huge": 2, "hang": 4,
         "drip": 4, "cut": 3, "reset": 4, "no_http": 2}
# In a hundred handshakes.
WRONG_CERTIFICATE, BROKEN_HANDSHAKE = 2, 2
ENDLESS = 30    # seconds that nobody waits


def head(status="200 OK", kind="text/plain", more=""):
    return (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}"
            "Connection: close\r\n\r\n").encode()


class ChaosWeb:
    def __init__(self, folder, chance):
        self.folder = folder
        self.chance = chance
        self.contexts = {}      # by certificate number
        self.writers = set()

    def context(self, number):
        if number not in self.contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.folder / f"{number}.pem",
                                    self.folder / "host.key")
            self.contexts[number] = context
        return self.contexts[number]

    def choose_certificate(self, connection, name, _):
        point = self.chance.randrange(100)
        if point < BROKEN_HANDSHAKE:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        digits = re.match(r"mta-sts\.s(\d+)\d\.", name or "")
        number = int(digits[1]) if digits else 0
        if point < BROKEN_HANDSHAKE + WRONG_CERTIFICATE:
            number = 1 if number == 0 else 0
        connection.context = self.context(number)
        return None

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            host = re.search(rb"\r\n[Hh]ost: mta-sts\.([\w.]*)", request)
            fate, = self.chance.choices(*zip(*FATES.items()))
            await self.answer(writer, host[1].decode() if host else "?", fate)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        self.writers.discard(writer)
        writer.close()

    async def answer(self, writer, domain, fate):
        write = writer.write
        modes = {"enforce": ("enforce", 604800), "testing": ("testing", 86400),
                 "none": ("none", 86400), "short": ("enforce", 5),
                 "zero": ("enforce", 0), "long": ("enforce", 99999999)}
        if fate in modes:
            mode, age = modes[fate]
            write(head() + POLICY.format(mode, domain, domain, age).encode())
        elif fate == "not_found":
            write(head("404 Not Found") + b"no")
        elif fate == "redirect":
            write(head("302 Found", more="Location: https://localhost/\r\n"))
        elif fate == "error":
            write(head("500 Internal Server Error"))
        elif fate == "wrong_type":
            write(head(kind="text/html") + b"<html>")
        elif fate == "invalid":
            write(head() + b"version: STSv1\nmode: enforce\nmx: -\n")
        elif fate == "binary":
            write(head() + self.chance.randbytes(500))
        elif fate == "huge":
            write(head() + b"version: STSv1\n" * 10000)
        elif fate == "no_http":
            write(self.chance.randbytes(200) + b"\r\n\r\n")
        elif fate == "cut":
            write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                  b"Content-Length: 500\r\n\r\nversion: STSv1\n")
        elif fate == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                           struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif fate == "hang":
            await asyncio.sleep(ENDLESS)
        elif fate == "drip":
            for byte in head() + b"#" * ENDLESS:
                write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(1)
        await writer.drain()

    def end_all(self):
        for writer in list(self.writers):
            writer.transport.abort()


async def main():
    chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    server = ChaosWeb(Path(sys.argv[1]), chance)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.folder / "0.pem",
                            server.folder / "host.key")
    context.sni_callback = server.choose_certificate
    loop = asyncio.get_running_loop()
    # What goes wrong in a handshake is meant to.
    loop.set_exception_handler(lambda *_: None)
    loop.add_signal_handler(signal.SIGUSR1, server.end_all)
    await asyncio.start_server(server.serve, ["0.0.0.0", "::"], 443,
                               ssl=context, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
