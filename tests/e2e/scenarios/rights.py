"""Who meets what strangers send: never root, where run.user is somebody."""

import contextlib
import pathlib
import pwd
import subprocess

from checks import STS, equal, found_in
from testnet import wait_for

USER = "nobody"
LIMIT = 20  # seconds
SILENT = "127.0.0.1:9"  # nobody answers there, and the command waits


def uid_of(pid):
    """Whose process that is, with its capabilities; None: it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return None
    lines = dict(line.split(":\t", 1) for line in text.splitlines())
    return (set(lines["Uid"].split()), int(lines["CapEff"], 16))


def processes_of(pid):
    """It, and its children."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        text = ""
    return [pid, *text.split()]


@contextlib.contextmanager
def running(daemon, *words):
    command = subprocess.Popen(
        [daemon.binary, *words, "--config", daemon.config],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    try:
        yield command
    finally:
        command.kill()
        command.communicate()


def commands_are_not_root(bench):
    """query, and what check-config and setup ask, is run.user's."""
    wanted = ({str(pwd.getpwnam(USER).pw_uid)}, 0)
    daemon = bench.daemon("commands-as", run__user=USER, dns__server=SILENT)
    for words in (("query", STS), ("check-config",), ("setup",)):
        with running(daemon, *words) as command:
            wait_for(lambda: wanted in map(uid_of, processes_of(command.pid)),
                     LIMIT, f"{words[0]} as {USER}")


def commands_of_nobody_else(bench):
    """A run.user that does not exist is no reason to stay root."""
    daemon = bench.daemon("commands-none", run__user="nobody-at-all")
    for words in (("query", STS), ("cache", "list"), ("failures",),
                  ("check-config",)):
        found = daemon.command(*words)
        equal((found.returncode, found.stdout), (2, ""), words)
        found_in("there is no user 'nobody-at-all'|names nobody",
                 found.stderr, words[0])


def key_for_the_reporter_alone(bench):
    """check-config tells of a key that postern-policy may read."""
    daemon = bench.daemon("key-rights", run__user=USER, report__user="daemon")
    key = daemon.log.with_suffix(".pem")
    key.write_text("")
    daemon.configure(report__dkim_key=key)
    key.chmod(0o644)
    found_in(rf"(?m)^warning: report.dkim_key: {USER} can read {key}, ",
             daemon.command("check-config").stdout, "of all the world")
    key.chmod(0o600)
    found_in(rf"(?m)^warning: report.dkim_key: daemon cannot read {key}: ",
             daemon.command("check-config").stdout, "of root alone")


SCENARIOS = [commands_are_not_root, commands_of_nobody_else,
             key_for_the_reporter_alone]
