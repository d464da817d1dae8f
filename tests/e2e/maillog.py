"""Reads what happened to a message: Postfix's log and the receivers' log."""

import json
import pathlib
import re
from dataclasses import dataclass

# TLS lines carry no queue id: they belong to the next delivery line of the
# same smtp(8) process and host.
TLS = re.compile(r"/smtp\[(\d+)\]: (\w+) TLS connection established "
                 r"to ([^ ]+\]):\d+:")
DELIVERY = re.compile(r"/\w+\[(\d+)\]: \w+: to=<([^>]*)>, relay="
                      r"([^,]+), .*dsn=([\d.]+), status=(\w+) \((.*)\)$")


@dataclass
class Delivery:
    """The last thing that Postfix said about one recipient."""

    status: str  # sent, deferred, bounced
    relay: str  # host name, or none
    tls: str  # Verified, Trusted, Untrusted, Anonymous, or none
    dsn: str
    reason: str

    def __str__(self):
        return f"{self.status} ({self.reason}) by {self.relay}, TLS {self.tls}"


class MailLog:
    """A view of a log folder; reads what has been added at each question."""

    def __init__(self, folder, maillog="maillog"):
        self.maillog = pathlib.Path(folder) / maillog
        self.received_log = pathlib.Path(folder) / "received.jsonl"

    def text(self):
        return self.maillog.read_text(errors="replace")

    def deliveries(self):
        """All recipients seen so far, by address."""
        levels, found = {}, {}
        for line in self.text().splitlines():
            if match := TLS.search(line):
                pid, level, relay = match.groups()
                levels[pid, relay] = level
            elif match := DELIVERY.search(line):
                pid, to, relay, dsn, status, reason = match.groups()
                level = levels.pop((pid, relay.rpartition(":")[0]), "none")
                found[to] = Delivery(status, relay.partition("[")[0], level,
                                     dsn, reason)
        return found

    def delivery(self, recipient, status=None):
        """The Delivery, or None as long as there is none (of that status)."""
        found = self.deliveries().get(recipient)
        return found if found and status in (None, found.status) else None

    def received(self, recipient):
        """What the receivers accepted for a recipient: a list of records."""
        records = map(json.loads, self.received_log.read_text().splitlines())
        return [r for r in records if recipient in r["to"]]
