"""Debian 13's Postfix (3.10) in the test internet, beside the machine's.

Its root is made by debian13.py; here it is mounted read-only, with its own
queue and configuration over it. The daemon's sockets are in its queue
directory, which the outside sees below ROOT.
"""

import pathlib
import shutil
import subprocess

import world
from sender import MAIN_CF, message

ROOT = pathlib.Path("/run/testnet/debian13")
SPOOL = ROOT / "var/spool/postfix"
SOCKET = SPOOL / "postern/policy.sock"
TLSRPT_SOCKET = SPOOL / "postern/tlsrpt.sock"
MAILLOG = "maillog-debian13"
# Which addresses a session has is known then.
MORE_MAIN_CF = """
smtp_tlsrpt_enable = yes
smtp_tlsrpt_socket_name = postern/tlsrpt.sock
smtp_address_preference = ipv4
smtp_bind_address6 = {v6}
"""
POLICY_MAP = "socketmap:unix:postern/policy.sock:policy-tlsrpt"
OWN = ("etc/postfix", "var/lib/postfix", "var/spool/postfix", "run", "tmp")


class NewerPostfix:
    def __init__(self, root, log_folder, ca):
        """root: what debian13.cached() returns."""
        self.root = root
        self.log_folder = log_folder
        self.ca = ca

    def start(self):
        if ROOT.exists():  # it runs
            return self
        self.mount()
        self.configure_all()
        with open(self.log_folder / "postfix-start-debian13.log", "wb") as log:
            self.run("postfix", "start", stdout=log, stderr=log)
        return self

    def mount(self):
        ROOT.mkdir()
        mount("--bind", self.root, ROOT)
        mount("-o", "remount,bind,ro", ROOT)
        for folder in OWN:
            mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", ROOT / folder)
        mount("--bind", "/dev", ROOT / "dev")
        for path in ("/etc/resolv.conf", "/etc/hosts"):
            mount("--bind", path, ROOT / path[1:])
        for path in (self.log_folder, self.ca.parent):
            inside = ROOT / path.relative_to("/")
            inside.mkdir(parents=True)
            mount("--bind", path, inside)

    def configure_all(self):
        target = ROOT / "etc/postfix"
        shutil.copytree(self.root / "etc/postfix", target, dirs_exist_ok=True)
        services = ROOT / "usr/share/postfix/master.cf.dist"
        lines = [line for line in services.read_text().splitlines()
                 if line.split()[:2] != ["smtp", "inet"]]
        lines.append("tlsproxy unix - - y - 0 tlsproxy")
        (target / "master.cf").write_text("\n".join(lines) + "\n")
        main_cf = MAIN_CF + MORE_MAIN_CF
        (target / "main.cf").write_text(main_cf.format(
            host=world.SENDER, sender=world.SENDER_DOMAIN,
            log=self.log_folder, maillog=MAILLOG, ca=self.ca,
            policy_map=POLICY_MAP, v6=world.OUR_ADDRESSES[1]))
        self.run("chown", "postfix", "/var/lib/postfix")
        SOCKET.parent.mkdir(mode=0o755)

    def configure(self, setting):
        """NAME=VALUE of main.cf, from now on."""
        self.run("postconf", "-e", setting)
        self.run("postfix", "reload", stderr=subprocess.DEVNULL)

    def version(self):
        return self.run("postconf", "-h", "mail_version",
                        stdout=subprocess.PIPE).stdout.decode().strip()

    def send(self, recipient):
        self.run("sendmail", "-f", f"sender@{world.SENDER_DOMAIN}", "--",
                 recipient, input=message(recipient))

    def run(self, *command, **options):
        return subprocess.run(["chroot", ROOT, *command], check=True,
                              env={"PATH": "/usr/sbin:/usr/bin",
                                   "LC_ALL": "C"}, **options)


def mount(*words):
    subprocess.run(["mount", *words], check=True)
