#!/usr/bin/python3
"""drip_server.py TLS_FOLDER HEALTHY: policy hosts that never finish.

Takes any number of TLS connections on port 443 with the certificates that
internet.py made, reads the request, and answers one byte a second. What it
stands for: 1,000 hostile or broken policy hosts, each of which a policy daemon
must wait for without making anybody else wait. Hosts of the domains numbered
HEALTHY and up are sound: they serve their policy at once.

Contract: prints `dripping N` once a second, N being the open connections. Runs
until killed. The bytes are spread over the second: on two cores this program
has to share one with the server or the load, and a burst of its own would be
taken for the daemon's.
"""

import asyncio
import re
import ssl
import sys
from pathlib import Path

SLICES = 500    # a second's bytes are sent in so many groups
HEADER = (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
          b"Content-Length: 60000\r\n\r\n")
POLICY = (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
          b"Connection: close\r\n\r\n"
          b"version: STSv1\nmode: enforce\nmx: mx.%s\nmax_age: 604800\n")


def new_context(folder, number=0):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{number}.pem", folder / "host.key")
    return context


class DripServer:
    def __init__(self, folder, healthy):
        self.folder = folder
        self.healthy = healthy
        self.contexts = {}      # by certificate number
        self.clients = {}       # writer -> position in the answer

    def choose_certificate(self, connection, name, _):
        """Certificate N holds the names numbered 10 N to 10 N + 9."""
        digits = re.match(r"mta-sts\.s(\d+)\d\.", name or "")
        number = int(digits[1]) if digits else 0
        if number not in self.contexts:
            self.contexts[number] = new_context(self.folder, number)
        connection.context = self.contexts[number]

    async def serve(self, reader, writer):
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            host = re.search(rb"\r\n[Hh]ost: mta-sts\.(s(\d+)[\w.]*)", request)
            if host and int(host[2]) >= self.healthy:
                writer.write(POLICY % host[1])
                await writer.drain()
            else:
                self.clients[writer] = 0
                await reader.read()     # returns when the client gives up
        except (OSError, asyncio.IncompleteReadError):
            pass
        self.clients.pop(writer, None)
        writer.close()

    async def drip(self):
        now = asyncio.get_running_loop().time
        while True:
            second = now()
            clients = list(self.clients)
            for part in range(SLICES):
                for writer in clients[part::SLICES]:
                    self.send_byte(writer)
                await asyncio.sleep(second + (part + 1) / SLICES - now())
            print("dripping", len(self.clients), flush=True)

    def send_byte(self, writer):
        position = self.clients.get(writer)
        if position is not None:
            writer.write(HEADER[position:position + 1] or b"#")
            self.clients[writer] = position + 1


async def main():
    server = DripServer(Path(sys.argv[1]), int(sys.argv[2]))
    context = new_context(server.folder)
    context.sni_callback = server.choose_certificate
    await asyncio.start_server(server.serve, ["0.0.0.0", "::"], 443,
                               ssl=context, backlog=4096)
    await server.drip()


if __name__ == "__main__":
    asyncio.run(main())
