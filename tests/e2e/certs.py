"""Keys and certificates of the test internet, made with openssl(1).

One CA and one P-256 key for all servers: a TLSA 3 1 1 record is then the same
everywhere, a certificate takes 5 ms, and no two of them can be mixed up
because each is for one name only. Kinds: good, wrong-name, expired,
self-signed.
"""

import hashlib
import pathlib
import subprocess
from concurrent.futures import ThreadPoolExecutor

SYSTEM_CA = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
WRONG_NAME = "wrong.test"


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE).stdout


class Certificates:
    """A folder with ca.pem, server.key and NAME.KIND.pem."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.bundle = folder / "bundle.pem"  # and the machine's authorities
        self.key = folder / "server.key"
        self.ca_key = folder / "ca.key"

    def create_ca(self):
        self.folder.mkdir()
        for key in (self.ca_key, self.key):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout",
                    "-out", key)
        openssl("req", "-x509", "-new", "-key", self.ca_key, "-days", "30",
                "-subj", "/CN=Test internet CA", "-out", self.ca)
        self.bundle.write_bytes(self.ca.read_bytes() +
                                SYSTEM_CA.read_bytes())

    def path(self, name, kind):
        return self.folder / f"{name}.{kind}.pem"

    def create(self, wanted):
        """wanted: a set of (name, kind)."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda item: self._create_one(*item), wanted))

    def _create_one(self, name, kind):
        out = self.path(name, kind)
        subject = WRONG_NAME if kind == "wrong-name" else name
        request = ["req", "-new", "-key", self.key, "-subj", "/O=Test server",
                   "-addext", f"subjectAltName=critical,DNS:{subject}",
                   "-addext", "basicConstraints=CA:FALSE"]
        signed_by_ca = ["-CA", self.ca, "-CAkey", self.ca_key]
        if kind == "self-signed":
            openssl(*request, "-x509", "-days", "30", "-out", out)
        elif kind == "expired":  # only x509 takes a negative lifetime
            openssl("x509", "-req", *signed_by_ca, "-days", "-1",
                    "-copy_extensions", "copy", "-set_serial", "1",
                    "-out", out, data=openssl(*request))
        else:
            openssl(*request, "-x509", *signed_by_ca, "-days", "30",
                    "-out", out)
        if kind != "self-signed":  # the chain, as DANE-TA needs it
            out.write_bytes(out.read_bytes() + self.ca.read_bytes())

    def tlsa(self, kind):
        """The data of a TLSA record of one of the kinds in world.py."""
        if kind in ("match", "key"):
            spki = openssl("pkey", "-in", self.key, "-pubout",
                           "-outform", "DER")
            return (f"3 1 0 {spki.hex()}" if kind == "key" else
                    f"3 1 1 {hashlib.sha256(spki).hexdigest()}")
        if kind == "ta":
            der = openssl("x509", "-in", self.ca, "-outform", "DER")
            return f"2 0 1 {hashlib.sha256(der).hexdigest()}"
        if kind == "mismatch":
            return f"3 1 1 {'0123' * 16}"
        if kind == "unusable":
            return f"1 1 1 {'01ef' * 16}"
        return kind
