"""The sender: Debian's Postfix as it is shipped, chroot and all.

Only /etc/postfix, /var/spool/postfix and /var/lib/postfix are its own (tmpfs
inside the namespace). Its policy map is the daemon's socket at
postern/policy.sock below the queue directory; the folder is there, the socket
comes with the daemon. It is too old to tell how sessions went; newer_postfix.py
has one that does.
"""

import os
import pathlib
import re
import shutil
import subprocess

import world

SPOOL = pathlib.Path("/var/spool/postfix")
SOCKET = SPOOL / "postern/policy.sock"
TLSRPT_SOCKET = SPOOL / "postern/tlsrpt.sock"
SMTPD = ("127.0.0.1", 10025)
POLICY_MAP = "socketmap:unix:postern/policy.sock:policy"
# smtp_tls_dane_insecure_mx_policy: the default of Postfix 3.7.13 and later;
# Debian 12's 3.7.11 would take `dane` for an unsigned MX set as `may`.
MAIN_CF = """
compatibility_level = 3.6
myhostname = {host}
myorigin = {sender}
mydestination = {sender}
local_recipient_maps =
local_transport = discard:local
alias_maps =
alias_database =
inet_interfaces = loopback-only
inet_protocols = all
maillog_file = {log}/{maillog}
maillog_file_prefixes = {log}
minimal_backoff_time = 300s
smtp_tls_security_level = may
smtp_dns_support_level = dnssec
smtp_tls_dane_insecure_mx_policy = dane
smtp_tls_CAfile = {ca}
smtp_tls_loglevel = 1
smtp_tls_policy_maps = {policy_map}
"""
ETC_FILES = ("dynamicmaps.cf", "dynamicmaps.cf.d", "postfix-files",
             "postfix-files.d", "post-install", "postfix-script")


class Sender:
    def __init__(self, log_folder, ca):
        self.log_folder = log_folder
        self.ca = ca

    def create(self, etc):
        """etc: a copy of the machine's /etc/postfix, now hidden by tmpfs."""
        target = pathlib.Path("/etc/postfix")
        for name in ETC_FILES:
            source = etc / name
            if source.is_dir():
                shutil.copytree(source, target / name)
            elif source.exists():
                shutil.copy2(source, target / name)
        services = pathlib.Path("/usr/share/postfix/master.cf.dist")
        lines = services.read_text().splitlines()
        lines = [l for l in lines if l.split()[:2] != ["smtp", "inet"]]
        lines.append(f"{SMTPD[0]}:{SMTPD[1]} inet n - y - - smtpd")
        (target / "master.cf").write_text("\n".join(lines) + "\n")
        (target / "main.cf").write_text(MAIN_CF.format(
            host=world.SENDER, sender=world.SENDER_DOMAIN,
            log=self.log_folder, maillog="maillog", ca=self.ca,
            policy_map=POLICY_MAP))
        shutil.chown("/var/lib/postfix", "postfix")
        SOCKET.parent.mkdir(mode=0o755)

    def start(self):
        """Postfix goes to the background by itself."""
        environment = {**os.environ, "LC_ALL": "C"}
        with open(self.log_folder / "postfix-start.log", "wb") as log:
            for command in (["/usr/lib/postfix/configure-instance.sh", "-"],
                            ["postfix", "start"]):
                subprocess.run(command, check=True, stdout=log, stderr=log,
                               env=environment)


def send(recipient, subject="test"):
    """Hands a message to Postfix, as any local program would."""
    subprocess.run(["sendmail", "-f", f"sender@{world.SENDER_DOMAIN}", "--",
                    recipient], input=message(recipient, subject), check=True)


def message(recipient, subject="test"):
    return (f"From: <sender@{world.SENDER_DOMAIN}>\nTo: <{recipient}>\n"
            f"Subject: {subject}\n\nHello\n").encode()


def restart(*settings):
    """Stops Postfix, changes NAME = VALUE of main.cf, and starts it."""
    subprocess.run(["postfix", "stop"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["postconf", "-e", *settings], check=True)
    subprocess.run(["postfix", "start"], check=True, stderr=subprocess.DEVNULL)


def tells_of_sessions():
    """Is it 3.10 or later?"""
    version = subprocess.run(["postconf", "-h", "mail_version"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    return [int(n) for n in re.findall(r"\d+", version)[:2]] >= [3, 10]
