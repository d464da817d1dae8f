"""Namespaces of their own for a bench: network, mounts, processes.

What a program does in there (ports, addresses, mounts, processes that it
leaves) ends with it.
"""

import os
import resource
import signal
import sys

import internet


def enter(program):
    """Runs `program` again where it may own ports, addresses and /run.

    Returns in the new one, which has --inside on its command line.
    """
    if "--inside" in sys.argv and os.getpid() == 1:
        # Its own pid 1: SIGTERM would be ignored.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    os.execvp("unshare", ["unshare", "-mnp", "--fork", "--kill-child", *user,
                          sys.executable, program, "--inside", *sys.argv[1:]])


def prepare(folders):
    """Makes an empty /run, /var/lib and /var/spool, with `folders`."""
    internet.run("mount", "-t", "proc", "proc", "/proc")
    internet.run("ip", "link", "set", "lo", "up")
    for folder in ("/run", "/var/lib", "/var/spool"):
        internet.run("mount", "-t", "tmpfs", "tmpfs", folder)
    for folder in folders:
        folder.mkdir()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
