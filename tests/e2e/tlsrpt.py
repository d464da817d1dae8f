"""Outcomes: datagrams as libtlsrpt sends them, and the lines of the spool."""

import datetime
import json
import re
import socket
import time

from testnet import PATIENCE, wait_for

POLICY_TYPES = {"tlsa": 1, "sts": 2, "no-policy-found": 9}


def text_attributes(**attributes):
    return "".join(f',"{key}": {json.dumps(value)}'
                   for key, value in attributes.items())


def datagram(domain, policy_type="no-policy-found", policy_domain=None,
             failures=(), record=None, **lists):
    """A datagram of libtlsrpt 0.5.0rc1's, which Debian 13 has.

    failures: of one session, each a dict by the keys of the wire (c, s, n, h,
    r, f); lists: policy_string and mx_host.
    """
    record = record or f"v=TLSRPTv1; rua=mailto:tls@{domain}"
    details = ",".join(
        "{" + f'"c":{f["c"]}' +
        text_attributes(**{k: v for k, v in f.items() if k != "c"}) + "}"
        for f in failures)
    policy = f'{{"policy-type":{POLICY_TYPES[policy_type]}'
    policy += text_attributes(**{"policy-domain": policy_domain or domain})
    for key, values in lists.items():
        policy += f',"{key.replace("_", "-")}":{json.dumps(values)}'
    if failures:
        policy += f',"failure-details":[{details}]'
    policy += f',"t":{len(failures)},"f":{int(bool(failures))}}}'
    return (f'{{"d": "{domain}","pr": {json.dumps(record)},'
            f'"policies":[{policy}]}}').encode()


def send_datagrams(path, *datagrams):
    """Sends them one by one; waits where the socket's queue is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE)
        for each in datagrams:
            sender.sendto(each, str(path))


class Spool:
    """Reads what a daemon has written to its spool.directory."""

    def __init__(self, directory):
        self.directory = directory
        self.folder = directory / "outcomes"
        self.markers = 0

    def files(self):
        return sorted(self.folder.glob("*.jsonl"))

    def raw(self):
        """All bytes; the days one after the other."""
        return b"".join(path.read_bytes() for path in self.files())

    def lines(self):
        """The whole lines; a torn one that stands alone is None."""
        return [parse(line) for line in self.raw().split(b"\n")[:-1]]

    def outcomes(self, domain=None, source=None):
        return [line for line in self.lines() if line and
                domain in (None, line["domain"]) and
                source in (None, line["source"])]

    def sessions(self, domain):
        """All that were counted for a domain."""
        return sum(line["successful"] + line["failed"]
                   for line in self.outcomes(domain))

    def wait(self, domain, count=1, source=None):
        """The outcomes of a domain, once there are that many."""
        def enough():
            found = self.outcomes(domain, source)
            return len(found) >= count and found
        return wait_for(enough, PATIENCE, f"{count} outcomes of {domain}")

    def wait_written(self, path):
        """What was sent to the socket at `path` up to now is in the file."""
        self.markers += 1
        domain = f"marker{self.markers}.test"
        send_datagrams(path, datagram(domain))
        self.wait(domain)


def parse(line):
    """A line of the spool; None for one that is torn or breaks the format."""
    try:
        outcome = json.loads(line)
    except ValueError:
        return None
    written = json.dumps(outcome, separators=(",", ":"))
    return outcome if written.encode() == line else None


def outcome(domain, policy_type="no-policy-found", policy_domain=None,
            details=(), failed=None, source="postfix", record=None, **lists):
    """An expected line but for `at`: one session. lists: as in datagram()."""
    details = list(details)
    failed = int(bool(details)) if failed is None else failed
    return {
        "domain": domain, "source": source, "policy-type": policy_type,
        "policy-domain": policy_domain or domain,
        **{key.replace("_", "-"): value for key, value in lists.items()},
        "successful": int(source == "postfix" and not failed),
        "failed": failed,
        "failure-details": details,
        "record": record or f"v=TLSRPTv1; rua=mailto:tls@{domain}"}


def detail(result_type, count=1, **members):
    """An expected failure detail, its members in the order of the format."""
    given = {key.replace("_", "-"): value for key, value in members.items()}
    behind = ("additional-information", "failure-reason-code")
    return {"result-type": result_type,
            **{k: v for k, v in given.items() if k not in behind},
            "failed-session-count": count,
            **{k: v for k, v in given.items() if k in behind}}


def differences(got, expected):
    """The fields in which a line is not what it should be, in words.

    An expected value may be a compiled pattern. `at` must be a moment ago.
    """
    problems = [] if is_recent(got["at"]) else [f"at: {got['at']} is not now"]
    compare("", {k: v for k, v in got.items() if k != "at"}, expected,
            problems)
    order = [key for key in got if key in expected]
    if not problems and order != [key for key in expected if key in got]:
        problems.append(f"members in the order {', '.join(got)}")
    return problems


def compare(where, got, expected, problems):
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in dict.fromkeys((*expected, *got)):
            compare(f"{where}.{key}".lstrip("."), got.get(key),
                    expected.get(key), problems)
    elif isinstance(expected, list) and isinstance(got, list) and \
            len(got) == len(expected):
        for number, (one, other) in enumerate(zip(got, expected)):
            compare(f"{where}[{number}]", one, other, problems)
    elif isinstance(expected, re.Pattern):
        if not isinstance(got, str) or not expected.fullmatch(got):
            problems.append(f"{where}: {got!r} does not match "
                            f"{expected.pattern!r}")
    elif got != expected or type(got) is not type(expected):
        problems.append(f"{where}: expected {expected!r}, got {got!r}")


def is_recent(at, seconds=300):
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", at):
        return False
    then = datetime.datetime.fromisoformat(at.replace("Z", "+00:00"))
    return -2 < time.time() - then.timestamp() < seconds
