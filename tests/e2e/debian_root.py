"""Roots of Debian releases, made once and kept.

make(recipe) gives the folder of one: made by mmdebstrap from the mirrors,
proxies and keyrings of this machine's apt, in $XDG_CACHE_HOME/postern-roots (or
~/.cache). Needs root and a mirror that has the release. Nothing in a root is
started; who uses one mounts it read-only, or something over it.
"""

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import astuple, dataclass

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                     pathlib.Path.home() / ".cache") / "postern-roots"
APT = pathlib.Path("/etc/apt")
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp")
# Parts of apt's configuration by which it reaches its mirrors.
APT_OPTIONS = re.compile(r"Acquire::(https?|ftp|Retries|ForceIPv[46]|"
                         r"Check-Valid-Until|Check-Date)\b")
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
_held = {}  # roots in use by this process, and their locked descriptors
# What mmdebstrap leaves that is only of this machine.
TIDY = (r'rm -f "$1"/var/cache/apt/*.bin',
        'rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        ': >"$1"/etc/resolv.conf; : >"$1"/etc/hosts')


class Trouble(Exception):
    """Why there is no root, in words."""


@dataclass
class Recipe:
    """What is in a root; another recipe is another root.

    hooks: shell commands, run at the end with the root as $1, and with the
           variables that make() is given.
    key: what else the root depends on, such as the words of a file.
    """

    name: str
    release: str
    variant: str = "apt"  # mmdebstrap's
    packages: tuple = ()
    hooks: tuple = ()
    key: str = ""

    def path(self):
        digest = hashlib.sha256(repr(astuple(self)).encode()).hexdigest()
        return CACHE / f"{self.name}-{digest[:12]}"


def cached(recipe):
    """The root, or None where it has not been made. Nobody removes it until
    this process ends, or the program that it has become (namespaces are entered
    by exec)."""
    path = recipe.path()
    if path in _held:
        return path
    try:
        folder = os.open(path, os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    fcntl.flock(folder, fcntl.LOCK_SH)
    if not path.is_dir():  # removed meanwhile
        os.close(folder)
        return None
    os.set_inheritable(folder, True)
    _held[path] = folder
    return path


def make(recipe, say=print, **variables):
    """The root, made where it is missing; only one process makes it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if cached(recipe):
            return recipe.path()
        check_machine()
        # Those of older recipes, and of those that were killed.
        remove_unused(f"{recipe.name}-*")
        remove_unused("unfinished-*")
        say(f"making {recipe.path()} ({recipe.release}): once, a minute or two")
        bootstrap(recipe, say, variables)
        return cached(recipe)


def remove(recipe):
    """Those of it, this one's and older; returns what is in use, and stays."""
    return remove_unused(f"{recipe.name}-*")


def remove_unused(pattern):
    """But what somebody holds, of another checkout, say: that is returned."""
    in_use = []
    for path in CACHE.glob(pattern):
        folder = os.open(path, os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
        except BlockingIOError:
            in_use.append(path)
        finally:
            os.close(folder)
    return in_use


def check_machine():
    if os.geteuid() != 0:
        raise Trouble("needs root")
    missing = [name for name in ("mmdebstrap", "unshare", "apt-get")
               if not shutil.which(name)]
    if missing:
        raise Trouble(f"not installed: {' '.join(missing)}")


def bootstrap(recipe, say, variables):
    sources = debian_sources(recipe.release)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="unfinished-", dir=CACHE))
    log, root = CACHE / f"{recipe.name}.log", folder / "root"
    options = folder / "apt.conf"
    options.write_text(apt_options())
    # It ends with this, and whatever a postinst script starts with it.
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid",
               "--fork", "--kill-child", "--mount-proc", "mmdebstrap",
               "--mode=root", f"--variant={recipe.variant}",
               f"--aptopt={options}", "--skip=check/qemu,cleanup/apt",
               *(f"--include={name}" for name in recipe.packages),
               *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
               *(f"--customize-hook={hook}" for hook in recipe.hooks + TIDY),
               recipe.release, root, "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          env={**os.environ, **variables}, text=True,
                          errors="replace") as process, \
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
    root.chmod(0o755)
    root.rename(recipe.path())
    shutil.rmtree(folder)


def debian_sources(release):
    """Lines of a sources.list for a release, from the mirrors that apt uses."""
    lines = []
    for uri in mirrors():
        for suite in (release, f"{release}-updates", f"{release}-security"):
            if has_suite(uri, suite):
                keyrings = ",".join(keyrings_for(uri))
                option = f"[signed-by={keyrings}] " * bool(keyrings)
                lines.append(f"deb {option}{uri} {suite} main")
    if not any(f" {release} " in line for line in lines):
        raise Trouble("none of the mirrors in this machine's apt sources has "
                      f"Debian's {release}")
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
