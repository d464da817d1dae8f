"""The SMTP receivers: all MX hosts of the test internet in one process.

    receivers.py CONFIG.json

CONFIG holds {"key": FILE, "folder": DIR, "log": FILE,
"hosts": {ADDRESS: {"name": ..., "certificate": FILE or null, "broken": ...}},
"ports": [25, ...]}. The address that a client connected to decides who
answers; a null certificate means that STARTTLS is not offered; a broken host
offers it, but goes on in clear text; a connection to an address not listed is
closed at once, as if nobody listened. Every accepted message is one JSON line
in the log and one file NUMBER.eml in the folder.
"""

import asyncio
import itertools
import json
import logging
import pathlib
import ssl
import sys

MAX_LINE = 1 << 20


class Receivers:
    def __init__(self, config):
        self.config = config
        self.folder = pathlib.Path(config["folder"])
        self.numbers = itertools.count(1)
        self.contexts = {}

    def context(self, certificate):
        if certificate not in self.contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, self.config["key"])
            context.sni_callback = remember_sni
            self.contexts[certificate] = context
        return self.contexts[certificate]

    async def serve(self):
        for family in ("0.0.0.0", "::"):
            for port in self.config["ports"]:
                await asyncio.start_server(self.client, family, port,
                                           limit=MAX_LINE)
        await asyncio.Event().wait()

    async def client(self, reader, writer):
        address = writer.get_extra_info("sockname")[0]
        host = self.config["hosts"].get(address)
        try:
            if host:
                await Session(self, host, address, reader, writer).run()
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client hung up, or did not like our certificate
        finally:
            writer.close()

    def accepted(self, record, message):
        record["file"] = f"{next(self.numbers)}.eml"
        (self.folder / record["file"]).write_bytes(message)
        with open(self.config["log"], "a") as log:
            log.write(json.dumps(record) + "\n")


def remember_sni(ssl_object, name, _context):
    ssl_object.sni = name


class Session:
    """One SMTP connection."""

    def __init__(self, receivers, host, address, reader, writer):
        self.receivers = receivers
        self.host = host
        self.address = address
        self.reader = reader
        self.writer = writer
        self.envelope = {"from": None, "to": []}

    async def reply(self, *lines):
        code, texts = lines[0][:3], [lines[0][4:], *lines[1:]]
        for text in texts[:-1]:
            self.writer.write(f"{code}-{text}\r\n".encode())
        self.writer.write(f"{code} {texts[-1]}\r\n".encode())
        await self.writer.drain()

    def tls(self):
        return self.writer.get_extra_info("ssl_object")

    async def run(self):
        await self.reply(f"220 {self.host['name']} ESMTP test receiver")
        while line := await self.reader.readline():
            verb, _, argument = line.decode("utf-8").strip().partition(" ")
            if verb.upper() == "QUIT":
                await self.reply("221 Bye")
                return
            handler = getattr(self, "do_" + verb.lower(), None)
            if handler:
                await handler(argument)
            else:
                await self.reply("250 OK")  # RSET, NOOP

    async def do_ehlo(self, _argument):
        starttls = self.host["certificate"] and not self.tls()
        await self.reply(f"250 gateway.{self.host['name']}", "8BITMIME",
                         "SMTPUTF8", *(["STARTTLS"] if starttls else []),
                         "SIZE 10000000")

    async def do_starttls(self, _argument):
        await self.reply("220 Ready to start TLS")
        if self.host["broken"]:
            await self.reply("454 TLS not available, after all")
            raise OSError("hangs up")
        await self.writer.start_tls(
            self.receivers.context(self.host["certificate"]))

    async def do_mail(self, argument):
        self.envelope = {"from": path(argument), "to": []}
        await self.reply("250 OK")

    async def do_rcpt(self, argument):
        self.envelope["to"].append(path(argument))
        await self.reply("250 OK")

    async def do_data(self, _argument):
        await self.reply("354 Go ahead")
        lines = []
        while (line := await self.reader.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        if not line:
            return
        tls = self.tls()
        self.receivers.accepted(
            {"host": self.host["name"], "address": self.address,
             "tls": tls.version() if tls else None,
             "sni": getattr(tls, "sni", None), **self.envelope},
            b"".join(lines))
        await self.reply("250 Accepted")


def path(argument):
    """FROM:<a@b> SIZE=1 -> a@b"""
    return argument.partition("<")[2].partition(">")[0]


if __name__ == "__main__":
    # asyncio warns at each hang-up of a TLS client
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    asyncio.run(Receivers(json.loads(
        pathlib.Path(sys.argv[1]).read_text())).serve())
