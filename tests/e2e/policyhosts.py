"""The MTA-STS policy hosts: one nginx, one virtual host per policy.

All of them are on 192.0.2.80, 2001:db8::80 and 127.0.0.1, told apart by SNI;
a name that is not in the table gets no handshake. Sts.web in world.py chooses
the certificate or the misbehaviour. Somebody else's server is beside them.
"""

import world

PATH = "/.well-known/mta-sts.txt"
OVERSIZED = "note: " + 58 * "x" + "\r\n"  # 64 bytes, after a valid policy
NGINX_CONF = """
user root;
daemon off;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {log}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
    log_format policy '$host "$request" $status $body_bytes_sent '
                      '"$http_user_agent"';
    access_log {log}/nginx.log policy;
    server_names_hash_bucket_size 128;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    ssl_certificate_key {key};
    types {{ }}
    default_type text/plain;
    server {{
        listen {v4}:443 ssl default_server;
        listen [{v6}]:443 ssl default_server;
        listen 127.0.0.1:443 ssl default_server;
        ssl_reject_handshake on;
    }}
    server {{
        listen {impostor_v4}:443 ssl default_server;
        listen [{impostor_v6}]:443 ssl default_server;
        ssl_certificate {impostor_certificate};
        return 200 "version: STSv1\nmode: none\nmax_age: 86400\n";
    }}
{servers}
}}
"""
SERVER = """
    server {{
        listen {v4}:443 ssl;
        listen [{v6}]:443 ssl;
        listen 127.0.0.1:443 ssl;
        server_name {name};
        ssl_certificate {certificate};
        location = {path} {{ {action} }}
    }}
"""
REDIRECT_TARGET = "https://mta-sts.sts-enforce.test" + PATH
ACTIONS = {
    "redirect": f"return 301 {REDIRECT_TARGET};",
    "html": "default_type text/html; alias {file};",
    "slow": "limit_rate_after 250; limit_rate 1; alias {file};",  # + headers
}
CERTIFICATES = ("wrong-name", "expired", "self-signed")
IMPOSTOR_CERTIFICATE = ("impostor.test", "good")


def name(domain):
    return "mta-sts." + domain.fqdn


def certificate(domain):
    """The (name, kind) of the certificate a domain's policy host shows."""
    web = domain.sts.web
    return name(domain), web if web in CERTIFICATES else "good"


class PolicyHosts:
    def __init__(self, folder, log_folder, certificates):
        self.folder = folder
        self.log_folder = log_folder
        self.certificates = certificates

    def create(self):
        self.folder.mkdir()
        domains = [d for d in world.DOMAINS if d.sts]
        v4, v6 = world.POLICY_HOST
        servers = []
        for domain in domains:
            self.update(domain)
            action = ACTIONS.get(domain.sts.web, "alias {file};")
            servers.append(SERVER.format(
                v4=v4, v6=v6, name=name(domain), path=PATH,
                certificate=self.certificates.path(*certificate(domain)),
                action=action.format(file=self._file(domain))))
        (self.folder / "nginx.conf").write_text(NGINX_CONF.format(
            dir=self.folder, log=self.log_folder, key=self.certificates.key,
            v4=v4, v6=v6, impostor_v4=world.IMPOSTOR[0],
            impostor_v6=world.IMPOSTOR[1],
            impostor_certificate=self.certificates.path(*IMPOSTOR_CERTIFICATE),
            servers="".join(servers)))

    def update(self, domain):
        """Writes the policy file; nginx serves it from now on."""
        if domain.sts.web == "404":
            self._file(domain).unlink(missing_ok=True)
            return
        text = domain.policy_text()
        if domain.sts.web == "oversized":
            text += OVERSIZED * 1025
        self._file(domain).write_bytes(text.encode())

    def command(self):
        return ["nginx", "-c", self.folder / "nginx.conf", "-e",
                self.log_folder / "nginx-error.log"]

    def _file(self, domain):
        return self.folder / f"{domain.fqdn}.txt"
