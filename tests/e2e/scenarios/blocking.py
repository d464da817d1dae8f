"""The loop thread makes no call that blocks."""

import dataclasses
import re
import shutil
import signal

import world
from cases import NONE, secure
from checks import DANE, STS, Skipped, equal
from daemon import Client
from testnet import PATIENCE, wait_for

NOBODY = "127.0.0.9"  # no resolver
# What the main thread may call once the daemon is ready. On descriptors: those
# of SOCKETS alone, which do not block.
ON_SOCKETS = {
    "read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto",
    "sendmsg", "sendmmsg", "accept", "accept4", "connect", "shutdown", "bind",
    "getpeername", "getsockname", "getsockopt", "setsockopt", "ioctl"}
ANYWHERE = {
    "epoll_wait", "epoll_pwait", "epoll_ctl", "socket", "close", "fcntl",
    "timerfd_settime", "restart_syscall",
    "pipe2",  # by which Asio's signal handler wakes the loop
    "futex",  # short locks: queues between threads, memory
    # memory, time, chance, signals
    "brk", "mmap", "munmap", "mremap", "madvise", "mprotect", "getrandom",
    "prlimit64",
    "clock_gettime", "gettimeofday", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "getpid", "gettid", "sched_yield"}
SOCKETS = re.compile(r"^\d+<(socket:|TCP|UDP|UNIX|NETLINK|anon_inode:\[event"
                     r"|anon_inode:\[timerfd|pipe:)")
LOG = re.compile(r"^2<")
# getdns reads it whenever a context is made: after a reload with other DNS
# servers, that is. One local file of a few hundred bytes.
TRUST_ANCHOR = re.compile(r'[<"]/usr/share/dns/root\.key[>"]')
# The kernel's own memory; no disk is asked. Read when metrics are.
MEMORY = re.compile(r'[<"]/proc/(self|\d+)/statm[>"]')
CALL = re.compile(r"^(\d+) +(\w+)\((.*)")


def is_sanitized(binary):
    with open(binary, "rb") as file:
        return b"__asan_init" in file.read()


def calls_after(marker, trace, pid):
    """The main thread's calls, behind the log line with `marker`."""
    ready = False
    for line in trace.splitlines():
        match = CALL.match(line)
        if not match or int(match[1]) != pid:
            continue
        if ready:
            yield match[2], match[3]
        elif match[2] == "write" and marker in line:
            ready = True
    assert ready, f"no {marker} in the trace"


def blocks(call, arguments):
    if call in ("openat", "newfstatat", "read"):
        if TRUST_ANCHOR.search(arguments) or MEMORY.search(arguments):
            return False
    if call in ON_SOCKETS:
        return not (SOCKETS.match(arguments) or
                    call.startswith("write") and LOG.match(arguments))
    if call in ("poll", "ppoll"):  # a look, not a wait
        return not re.search(r", 0(\)| <unf)|tv_sec=0, tv_nsec=0",
                             arguments)
    return call not in ANYWHERE


def loop_never_blocks(bench):
    """strace of a mixed load: no file, no wait but epoll's."""
    if not shutil.which("strace"):
        raise Skipped("strace is not installed")
    if is_sanitized(bench.binary):
        raise Skipped("the sanitizer's own calls would be in the way")
    purged = world.BY_NAME["sts-purged"]
    bench.internet.publish(purged)  # other scenarios take its policy away
    daemon = bench.daemon("traced")
    trace = daemon.log.with_suffix(".strace")
    overrides = daemon.log.with_suffix(".overrides")
    overrides.write_text("parent.test encrypt\n")
    daemon.launch(prefix=["strace", "-D", "-f", "-yy", "-s", "200", "-o",
                          trace])
    with daemon:
        daemon.wait_ready()
        with Client() as client:
            mixed_load(client)
            equal(client.ask(purged.fqdn), secure("mx." + purged.fqdn),
                  purged.name)
            bench.internet.publish(dataclasses.replace(purged, sts=None))
            daemon.configure(policy__overrides=overrides, dns__timeout="4s",
                             dns__server=["127.0.0.1", NOBODY])
            assert "event=reloaded" in daemon.reload(), "no reload"
            equal(client.ask("parent.test"), "OK encrypt", "after the reload")
            daemon.command("cache", "purge", purged.fqdn)
            wait_for(lambda: client.ask(purged.fqdn) == NONE, PATIENCE,
                     "the purge")
            mixed_load(client)
        daemon.metric("postern_connections")
        with Client() as client:
            client.send(b"nonsense")
            assert client.reply() is None, "nonsense was answered"
        daemon.process.send_signal(signal.SIGTERM)
        pid = daemon.process.pid
        wait_for(lambda: f"{pid} +++ " in text_of(trace), PATIENCE,
                 "the end of the trace")
    assert "fdatasync(" in text_of(trace), "nothing was written to the disk"
    seen = {}
    for call, arguments in calls_after("event=ready", text_of(trace), pid):
        if "event=stopping" in arguments:
            break
        if blocks(call, arguments):
            seen.setdefault(call, arguments)
    assert not seen, f"the loop thread blocks: {seen}"


def text_of(path):
    return re.sub(r" +", " ", path.read_text(errors="replace"))


def mixed_load(client):
    for key, expected in ((DANE, "OK dane-only"), (STS, secure("mx." + STS)),
                          ("none.test", NONE), ("both.test", "OK dane-only"),
                          ("web-404.test", NONE), ("web-refused.test", NONE),
                          ("dane-alias.test", "OK dane-only"),
                          ("nxdomain.test", NONE), ("sts-zero.test", None)):
        reply = client.ask(key)
        if expected:
            equal(reply, expected, key)


SCENARIOS = [loop_never_blocks]
