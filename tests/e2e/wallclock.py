"""A wall clock of one's own for a program, which may step or run ahead.

By wall_clock.cc, which is built here once and preloaded.
"""

import pathlib
import shutil
import struct
import subprocess
import time

from checks import Skipped

SOURCE = pathlib.Path(__file__).resolve().with_name("wall_clock.cc")
DAY = 86400  # seconds
EVEN_FOR = 601  # seconds: a clock that goes evenly for longer is believed


def library(folder):
    built = folder / "wall_clock.so"
    if not built.exists():
        if not shutil.which("c++"):
            raise Skipped("there is no C++ compiler")
        subprocess.run(["c++", "-std=c++20", "-O1", "-Wall", "-Werror",
                        "-fPIC", "-shared", SOURCE, "-o", built], check=True)
    return built


def sanitizer(binary):
    """The run-time library that wants to be the first; or none."""
    linked = subprocess.run(["ldd", binary], stdout=subprocess.PIPE,
                            text=True, check=True).stdout
    return [word for line in linked.splitlines() if "libasan" in line
            for word in line.split() if word.startswith("/")]


class WallClock:
    """The true time, until it steps or runs."""

    def __init__(self, bench, name, binary):
        """binary: of the program that goes by it."""
        self.path = bench.internet.folder / f"{name}.clock"
        self.path.touch()
        preload = [*sanitizer(binary), library(bench.internet.folder)]
        self.environment = {"LD_PRELOAD": " ".join(map(str, preload)),
                            "WALL_CLOCK": str(self.path)}
        self.step(0)

    def step(self, days):
        """From now on so many days ahead of the true time, or behind it."""
        self.days = days
        self._set(days * DAY, 0)

    def ten_minutes_ago(self):
        """It is as much behind, until they pass."""
        self.days = 0
        self._set(-EVEN_FOR, 0)

    def let_them_pass(self):
        """At once and evenly, by this clock and the boot clock; then it is
        right, and can be believed."""
        self._set(-EVEN_FOR, EVEN_FOR)

    def _set(self, ahead, passed):
        """In seconds; see wall_clock.cc."""
        with open(self.path, "r+b", 0) as file:
            file.write(struct.pack("=qq", ahead * 10 ** 9, passed * 10 ** 9))

    def day(self):
        """The UTC day by it, as in the names of the spool's files."""
        return time.strftime("%Y-%m-%d",
                             time.gmtime(time.time() + self.days * DAY))
