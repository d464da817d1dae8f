"""The Debian package of this tree, and clean roots to install it in."""

import os
import pathlib
import shutil
import subprocess

import debian_root
from debian_root import Recipe, Trouble

TREE = pathlib.Path(__file__).resolve().parents[2]
INSTALLER = TREE / "contrib/dev/install-packages"
# Version 0.1.0 as it was left: what upgrades are tried from. Its package is
# built once, from the history, which takes a clone that has it.
FIRST = "9a3ea68bed4f"
SYSTEM = ("systemd-sysv", "dbus", "procps", "iproute2", "ca-certificates")


def own_release():
    """Of this machine: bookworm, trixie."""
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2]
    raise Trouble("this machine is no Debian")


def built(release, say):
    """The package for a release: what packaging/build-deb left, or built now."""
    if release == own_release():
        return newest(TREE / "build/deb")
    folder = TREE / f"build/deb-{release}"
    say(f"building the package for {release} (output in {folder}.log)")
    build_in(builder(release, say), folder)
    return newest(folder / "build/deb")


def first(say):
    """The package of version 0.1.0, for this machine's Debian."""
    kept = debian_root.CACHE.parent / "postern-packages" / \
        f"{own_release()}-{FIRST}"
    if not kept.is_dir():
        say("building the package of 0.1.0: once, some minutes")
        folder = kept.with_name(f"unfinished-{os.getpid()}")
        folder.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", FIRST], cwd=TREE,
                                 stdout=subprocess.PIPE)
        if archive.returncode != 0:
            raise Trouble(f"the history lacks {FIRST}: fetch all of it "
                          "(git fetch --unshallow)")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout,
                       check=True)
        with open(f"{folder}.log", "w") as log:
            done = subprocess.run([folder / "packaging/build-deb"], stdout=log,
                                  stderr=log, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Trouble(f"the build failed (see {folder}.log)")
        kept.mkdir()
        shutil.copy2(newest(folder / "build/deb"), kept)
        shutil.rmtree(folder)
        os.unlink(f"{folder}.log")
    return newest(kept)


def newest(folder):
    found = sorted(folder.glob("postern_*.deb"),
                   key=lambda path: path.stat().st_mtime)
    if not found:
        raise Trouble(f"no package in {folder}: run packaging/build-deb")
    return found[-1]


def builder(release, say):
    """A root with what building takes."""
    return debian_root.make(Recipe(
        name=f"build-{release}", release=release, key=INSTALLER.read_text(),
        hooks=('cp "$POSTERN_INSTALLER" "$1"/root/',
               'chroot "$1" /root/install-packages package',
               'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
               'mkdir "$1"/tree "$1"/ccache')), say,
        POSTERN_INSTALLER=INSTALLER)


def build_in(root, folder):
    """Runs packaging/build-deb on a copy of the tree, with `root` as /."""
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"], cwd=TREE, check=True, stdout=subprocess.PIPE)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / name, folder / name)
    ccache = debian_root.CACHE.parent / "postern-ccache"
    ccache.mkdir(exist_ok=True)
    script = f"""set -e
mount --bind {root} {root}
mount -o remount,bind,ro {root}
mount -t proc proc {root}/proc
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
mount --bind /dev {root}/dev
mount --bind {folder} {root}/tree
mount --bind {ccache} {root}/ccache
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 \
  CCACHE_DIR=/ccache chroot {root} /tree/packaging/build-deb
"""
    with open(f"{folder}.log", "w") as log:
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh",
             "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if done.returncode != 0:
        raise Trouble(f"the build failed (its whole output is in {folder}.log)")


def clean_root(release, package, say):
    """A minimal Debian, with what it takes to install the package offline."""
    depends = subprocess.run(["dpkg-deb", "--field", package, "Depends"],
                             check=True, stdout=subprocess.PIPE, text=True)
    return debian_root.make(Recipe(
        name=f"clean-{release}", release=release, packages=SYSTEM,
        key=depends.stdout,
        hooks=('cp "$POSTERN_PACKAGE" "$1"/tmp/postern.deb',
               'chroot "$1" apt-get install -y --download-only '
               '-o APT::Install-Recommends=true postfix /tmp/postern.deb',
               'rm "$1"/tmp/postern.deb')), say,
        POSTERN_PACKAGE=package)
