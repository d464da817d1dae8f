#!/usr/bin/python3 -B
"""A root with Debian 13's Postfix (3.10 or later, with libtlsrpt), kept.

    tests/e2e/debian13.py            makes it where it is missing (a minute)
    tests/e2e/debian13.py --remove   removes it

Made by mmdebstrap from the mirrors, proxies and keyrings of this machine's apt,
in $XDG_CACHE_HOME/postern-debian13 (or ~/.cache): needs root, 150 MB and a
mirror that has trixie. Nothing in it is started; newer_postfix.py mounts it
read-only. Prints where it is.
"""

import argparse
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                     pathlib.Path.home() / ".cache") / "postern-debian13"
# Another recipe, another number: what was made by the old one is not used.
ROOT = CACHE / "root-1"
RELEASE = "trixie"
APT = pathlib.Path("/etc/apt")
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp")
# Parts of apt's configuration by which it reaches its mirrors.
APT_OPTIONS = re.compile(r"Acquire::(https?|ftp|Retries|ForceIPv[46]|"
                         r"Check-Valid-Until|Check-Date)\b")
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
# What postinst scripts and mmdebstrap leave that is only of this machine.
HOOKS = ('rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
         'rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/sources.list',
         ': >"$1"/etc/resolv.conf; : >"$1"/etc/hosts',
         # where newer_postfix.py mounts things
         'mkdir -p "$1"/run "$1"/var/lib/postfix "$1"/var/spool/postfix')


class Trouble(Exception):
    """Why there is no root, in words."""


def cached():
    """The root, or None where it has not been made."""
    return ROOT if ROOT.is_dir() else None


def make(say=print):
    """The root, made where it is missing; only one process makes it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if cached():
            return ROOT
        check_machine()
        for left in CACHE.glob("unfinished-*"):  # of those that were killed
            shutil.rmtree(left)
        say(f"making a root with Debian 13's Postfix in {CACHE}: once, about "
            "a minute")
        bootstrap(say)
    return ROOT


def check_machine():
    if os.geteuid() != 0:
        raise Trouble("needs root")
    missing = [name for name in ("mmdebstrap", "unshare", "apt-get")
               if not shutil.which(name)]
    if missing:
        raise Trouble(f"not installed: {' '.join(missing)}")


def bootstrap(say):
    sources = debian_sources()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="unfinished-", dir=CACHE))
    log, root = CACHE / "log", folder / "root"
    options = folder / "apt.conf"
    options.write_text(apt_options())
    # It ends with this, and whatever a postinst script starts with it.
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid",
               "--fork", "--kill-child", "--mount-proc", "mmdebstrap",
               "--mode=root", "--variant=essential", "--include=postfix",
               f"--aptopt={options}", "--skip=check/qemu",
               *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
               *(f"--customize-hook={hook}" for hook in HOOKS),
               RELEASE, root, "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, errors="replace") as process, \
            open(log, "w") as kept:
        process.stdin.write("\n".join(sources) + "\n")
        process.stdin.close()
        for line in process.stderr:
            kept.write(line)
            if line.startswith("I: ") and "/" not in line:
                say("  " + line[3:].strip())
    if process.returncode != 0:
        shutil.rmtree(folder)
        raise Trouble(f"mmdebstrap failed (its whole output is in {log})")
    if not list(root.glob("usr/lib/*/libtlsrpt.so.*")):
        shutil.rmtree(folder)
        raise Trouble("the mirror's Postfix has no libtlsrpt")
    root.chmod(0o755)
    root.rename(ROOT)
    shutil.rmtree(folder)


def debian_sources():
    """Lines of a sources.list for RELEASE, from the mirrors that apt uses."""
    lines = []
    for uri in mirrors():
        for suite in (RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security"):
            if has_suite(uri, suite):
                keyrings = ",".join(keyrings_for(uri))
                option = f"[signed-by={keyrings}] " * bool(keyrings)
                lines.append(f"deb {option}{uri} {suite} main")
    if not any(f" {RELEASE} " in line for line in lines):
        raise Trouble("none of the mirrors in this machine's apt sources has "
                      f"Debian 13 ({RELEASE})")
    return lines


def mirrors():
    """The URIs of apt's sources, whosoever they are."""
    listed = subprocess.run(["apt-get", "update", "--print-uris"], text=True,
                            stdout=subprocess.PIPE, check=True).stdout
    return dict.fromkeys(re.findall(r"^'(\S+/)dists/", listed, re.M))


def keyrings_for(uri):
    """Debian's own keyring, and those named where the URI is."""
    files = [APT / "sources.list", *(APT / "sources.list.d").glob("*")]
    texts = [file.read_text(errors="replace") for file in files
             if file.is_file()]
    named = [re.findall(r"signed-by(?::\s*|=)(/[^\s\],]+)", text, re.I)
             for text in texts if uri.rstrip("/") in text]
    return [path for path in dict.fromkeys((*KEYRINGS, *sum(named, [])))
            if os.path.exists(path)]


def has_suite(uri, suite):
    """Whether Debian's suite is there; asked with apt's own proxies."""
    with tempfile.TemporaryDirectory() as folder:
        release = pathlib.Path(folder) / "InRelease"
        subprocess.run(["/usr/lib/apt/apt-helper", "download-file",
                        f"{uri}dists/{suite}/InRelease", release],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return release.exists() and "\nOrigin: Debian\n" in release.read_text()


def apt_options():
    dump = subprocess.run(["apt-config", "dump"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return "".join(line + "\n" for line in dump.splitlines()
                   if APT_OPTIONS.match(line))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remove", action="store_true")
    options = parser.parse_args()
    if options.remove:
        if CACHE.exists():
            shutil.rmtree(CACHE)
        return
    try:
        make(lambda text: print(text, file=sys.stderr, flush=True))
    except Trouble as trouble:
        sys.exit(f"debian13.py: {trouble}")
    print(ROOT)


if __name__ == "__main__":
    main()
