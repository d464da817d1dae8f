"""What a program that runs inside the test internet works with: Bench, enter().
"""

import os
import pathlib
import sys

import sender
from daemon import Daemon
from maillog import MailLog
from testnet import HERE, PATIENCE, Internet, wait_for

DEFAULT_BINARY = os.environ.get(
    "POSTERN_POLICY", HERE.parent.parent / "build/dev/postern-policy")
MAIL_LIMIT = PATIENCE  # until Postfix has tried a message


class Bench:
    """What a case works with."""

    def __init__(self, binary, reporter=None):
        self.binary = binary
        self.reporter = reporter  # postern-report
        self.internet = Internet.running()
        self.log = MailLog(self.internet.log)
        self.sent = 0
        self.last = None  # the last recipient

    def daemon(self, name, **overrides):
        """A Daemon with its own log; overrides: section__key=value."""
        return Daemon(self.binary, name, self.internet.log,
                      self.internet.certificates.ca, **overrides)

    def recipient(self, domain):
        """One that no other message goes to."""
        self.sent += 1
        return f"user{self.sent}@{domain}"

    def send(self, domain):
        """Sends a message to a recipient of its own, which is returned."""
        self.last = self.recipient(domain)
        sender.send(self.last)
        return self.last

    def wait(self, recipient):
        return wait_for(lambda: self.log.delivery(recipient), MAIL_LIMIT,
                        f"delivery to {recipient}")

    def send_and_wait(self, domain):
        return self.wait(self.send(domain))


def program(path, option):
    """The whole path of a program; without it, ends and names the option."""
    path = pathlib.Path(path).resolve()
    if not os.access(path, os.X_OK):
        print(f"no program {path}: build it, or say {option} PATH",
              file=sys.stderr)
        sys.exit(2)
    return path


def enter(script, binary, logs=None):
    """The checked path of the binary, inside the test internet."""
    binary = program(binary, "--daemon")
    enter_internet(script, logs)
    return binary


def enter_internet(script, logs=None):
    """Outside of it, starts one that runs the script again; never returns."""
    if "TESTNET_DIR" in os.environ:
        return
    internet = str(HERE / "internet")
    options = ["--logs", logs] if logs else []
    os.execv(internet, [internet, *options, "--", os.path.abspath(script),
                        *sys.argv[1:]])
