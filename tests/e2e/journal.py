"""The systemd journal in the test internet: syslog(3) goes there."""

import pathlib
import subprocess

from maillog import MailLog
from testnet import PATIENCE, wait_for

DEV = pathlib.Path("/run/dev")
JOURNALD = "/lib/systemd/systemd-journald"
CONFIGURATION = pathlib.Path("/run/journald.conf")


class Journal:
    def __init__(self, log_folder):
        self.output = log_folder / "journald.log"
        self.process = None

    def start(self):
        self.make_dev()
        CONFIGURATION.write_text("[Journal]\nStorage=volatile\nReadKMsg=no\n"
                                 "Audit=no\nRateLimitBurst=0\n")
        configuration = pathlib.Path("/etc/systemd/journald.conf")
        subprocess.run(["mount", "--bind", CONFIGURATION, configuration],
                       check=True)
        with open(self.output, "wb") as log:
            self.process = subprocess.Popen([JOURNALD], stdout=log, stderr=log)
        wait_for(pathlib.Path("/run/systemd/journal/dev-log").exists,
                 PATIENCE, "the journal")
        return self

    @staticmethod
    def make_dev():
        """The machine's devices and a log of our own."""
        DEV.mkdir()
        for path in pathlib.Path("/dev").iterdir():
            own = DEV / path.name
            if path.is_symlink():
                own.symlink_to(path.readlink())
                continue
            if path.is_dir():
                own.mkdir()
            else:
                own.touch()
            subprocess.run(["mount", "--rbind", path, own], check=True)
        (DEV / "log").unlink(missing_ok=True)
        (DEV / "log").symlink_to("/run/systemd/journal/dev-log")
        subprocess.run(["mount", "--rbind", DEV, "/dev"], check=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        subprocess.run(["umount", "--lazy", "/dev"], check=True)


class JournalLog(MailLog):
    """Postfix's lines, as they would stand in a file."""

    def text(self):
        return subprocess.run(["journalctl", "-q", "-o", "short"], check=True,
                              stdout=subprocess.PIPE).stdout.decode(
                                  errors="replace")
