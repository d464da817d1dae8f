"""postern-policy setup: into Postfix's configuration, and out of it again."""

import contextlib
import fcntl
import os
import pathlib
import socket
import socketserver
import subprocess
import threading

import sender
import world
from certs import SYSTEM_CA
from checks import STS, Skipped, equal, found_in
from sender import SOCKET

ETC = pathlib.Path("/etc/postfix")
RECORD = ETC / "postern-setup.json"
COPIES = [ETC / "main.cf.before-postern", ETC / "master.cf.before-postern"]
OURS = "socketmap:unix:postern/policy.sock:policy"
PEERS = "socketmap:inet:127.0.0.1:8461:postfix"
WRONG_CERTIFICATE = "sts-wrong-cert.test"


@contextlib.contextmanager
def plain_postfix(bench, *settings):
    """Postfix as Debian has it, with these settings, and without us."""
    files = {ETC / name: (ETC / name).read_bytes()
             for name in ("main.cf", "master.cf")}
    mount = ["mount", "--bind", bench.internet.certificates.ca, SYSTEM_CA]
    subprocess.run(mount, check=True)
    wired = [line.split()[0] for line in sender.MAIN_CF.splitlines()
             if line.startswith(("smtp_tls_", "smtp_dns_"))]
    subprocess.run(["postconf", "-X", *wired], check=True)
    subprocess.run(["postconf", "-e", "smtp_tls_security_level = may",
                    *settings], check=True)
    reload_postfix()
    try:
        yield
    finally:
        for path, content in files.items():
            path.write_bytes(content)
        for path in (RECORD, *ETC.glob("*.before-postern*")):
            path.unlink(missing_ok=True)
        subprocess.run(["umount", SYSTEM_CA], check=True)
        reload_postfix()


def reload_postfix():
    subprocess.run(["postfix", "reload"], check=True,
                   stderr=subprocess.DEVNULL)


def explicit():
    """What stands in main.cf and master.cf, in meaning."""
    return [subprocess.run(["postconf", option], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
            for option in ("-n", "-M")]


def value(name):
    return subprocess.run(["postconf", "-h", name], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def setup(daemon, *words, status=0, **options):
    """Runs it; returns what it said."""
    done = daemon.command("setup", *words, **options)
    equal(done.returncode, status,
          f"exit status of setup {' '.join(words)}: {done.stdout} "
          f"{done.stderr}")
    return done.stdout + done.stderr


def nothing_of_ours_is_left():
    for path in (RECORD, *COPIES):
        assert not path.exists(), f"{path} is left"


def in_and_out(bench):
    """Shows, changes, changes nothing more, and takes all of it out again."""
    with plain_postfix(bench), bench.daemon("setup") as daemon:
        before = explicit()
        shown = setup(daemon, status=1)
        found_in(rf"(?m)^  smtp_tls_policy_maps = {OURS}\n      was unset; ",
                 shown, "the map")
        found_in(rf"(?m)^  smtp_tls_CAfile = {SYSTEM_CA}$", shown, "the CA")
        found_in("To change it: postern-policy setup --apply", shown, "advice")
        equal(explicit(), before, "settings after showing")
        nothing_of_ours_is_left()
        assert bench.send_and_wait(STS).tls != "Verified", "it was wired"

        found_in("Postfix was reloaded", setup(daemon, "--apply"), "apply")
        equal(value("smtp_tls_policy_maps"), OURS, "the map")
        equal(bench.send_and_wait(STS).tls, "Verified", "TLS with Postern")
        wired = explicit()
        for words in ([], ["--apply"]):
            found_in("Nothing to change", setup(daemon, *words), "once more")
        equal(explicit(), wired, "settings after the second time")
        equal(bench.send_and_wait(WRONG_CERTIFICATE).status, "deferred",
              "mail to a host with another's certificate")

        found_in(rf"  smtp_tls_policy_maps goes out\n      was {OURS}",
                 setup(daemon, "--remove", status=1), "what would go")
        equal(explicit(), wired, "settings after showing")
        found_in("Postfix was reloaded",
                 setup(daemon, "--apply"), "as a killed one may not have")
        setup(daemon, "--remove", "--apply")
        equal(explicit(), before, "settings when it is out")
        nothing_of_ours_is_left()
        delivery = bench.send_and_wait(STS)
        equal((delivery.status, delivery.tls != "Verified"), ("sent", True),
              "mail without Postern")
        equal(setup(daemon, "--remove", "--apply"), "", "what it says then")


def asks_the_daemon_first(bench):
    """Nothing is changed while nobody answers smtp(8)."""
    daemon = bench.daemon("setup-alone")
    with plain_postfix(bench):
        before = explicit()

        def refused(reason):
            said = setup(daemon, "--apply", status=1)
            found_in(reason, said, "the reason")
            found_in("Nothing was changed", said, "the effect")
            equal(explicit(), before, "settings")
            nothing_of_ours_is_left()
        refused("nobody listens at unix:postern/policy.sock: start the daemon")
        with daemon:
            SOCKET.chmod(0o600)
            refused("may not be opened by the user postfix: see policy.socket_")
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.bind(str(SOCKET))
            try:
                SOCKET.chmod(0o666)
                refused("nobody listens")
                # with its backlog full of us, it never answers
                stranger.listen()
                refused("does not answer")
            finally:
                SOCKET.unlink()


class Peer(socketserver.ThreadingTCPServer):
    """Another daemon at PEERS, which knows no policy."""
    allow_reuse_address = True
    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            while self.request.recv(1000):
                self.request.sendall(b"9:NOTFOUND ,")

    def __init__(self):
        super().__init__(("127.0.0.1", 8461), self.Handler)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def beside_other_tables(bench):
    """A table of one's own counts first; another daemon comes back if it
    answers."""
    table = ETC / "tls_policy"
    table.write_text(f"{STS} may\n")
    list_before = f"texthash:{table}  {PEERS}"
    with plain_postfix(bench, f"smtp_tls_policy_maps = {list_before}"), \
            bench.daemon("setup-tables") as daemon:
        said = setup(daemon, "--apply")
        found_in(rf"in\s+the\s+place\s+of\s+{PEERS}", said, "the reason")
        equal(value("smtp_tls_policy_maps"), f"texthash:{table} {OURS}",
              "the map")
        assert bench.send_and_wait(STS).tls != "Verified", \
            "the table was not asked first"
        equal(bench.send_and_wait("sts-two.test").tls, "Verified",
              "TLS to a domain that the table does not know")
        with Peer():
            said = setup(daemon, "--remove", "--apply")
        equal(value("smtp_tls_policy_maps"), f"texthash:{table} {PEERS}",
              "the map as it was")
        found_in(r"left:\s+smtp_tls_CAfile\s+=\s+\S+\s+stays:\s+smtp_tls_pol",
                 said, "what the table needs")
        assert not RECORD.exists(), "the record is left"
        kept = COPIES[0].read_bytes()

        said = setup(daemon, "--apply")
        found_in("main.cf.before-postern, of an earlier setup", said, "note")
        assert kept in [path.read_bytes() for path in
                        ETC.glob("main.cf.before-postern.*")], \
            "the copy that was kept is gone"
        said = setup(daemon, "--remove", "--apply")
        equal(value("smtp_tls_policy_maps"), f"texthash:{table}", "the map")
        found_in(rf"(?s)left:\s+{PEERS}\s+does\s+not\s+come\s+back:\s+nobody",
                 said, "the dead daemon")
    table.unlink()


def what_still_asks(bench):
    """after a removal makes it fail, and is named."""
    with plain_postfix(bench, f"mine = {OURS}",
                       "smtp_tls_policy_maps = $mine"), \
            bench.daemon("setup-asks") as daemon:
        subprocess.run(["postconf", "-P", f"relay/unix/smtp_tls_policy_maps={OURS}"],
                       check=True)
        setup(daemon, "--apply", status=1)
        said = setup(daemon, "--remove", "--apply", status=1)
        for place in ("smtp_tls_policy_maps", "relay/unix"):
            found_in(f"{place} still asks postern-policy", said, "the place")
        assert RECORD.exists(), "the record is gone"
        subprocess.run(["postconf", "-X", "smtp_tls_policy_maps"], check=True)
        subprocess.run(["postconf", "-PX",
                        "relay/unix/smtp_tls_policy_maps"], check=True)
        found_in("Postfix was reloaded", setup(daemon, "--remove", "--apply"),
                 "what it says then")
        assert not RECORD.exists(), "the record is left"


def what_is_no_plain_file(bench):
    """main.cf keeps its mode and owner, and a link is not replaced."""
    main_cf, real = ETC / "main.cf", ETC / "main.cf.real"
    with plain_postfix(bench), bench.daemon("setup-files") as daemon:
        main_cf.chmod(0o640)
        os.chown(main_cf, 0, 65534)
        setup(daemon, "--apply")
        setup(daemon, "--remove", "--apply")
        equal((main_cf.stat().st_mode & 0o7777, main_cf.stat().st_gid),
              (0o640, 65534), "mode and group of main.cf")
        main_cf.chmod(0o644)
        os.chown(main_cf, 0, 0)
        main_cf.rename(real)
        main_cf.symlink_to(real.name)
        try:
            found_in("is a symbolic link",
                     setup(daemon, "--apply", status=1), "the reason")
            assert main_cf.is_symlink(), "the link was replaced"
            nothing_of_ours_is_left()
        finally:
            real.rename(main_cf)


def what_was_changed_since(bench):
    """stays, and of a list only our entry goes."""
    with plain_postfix(bench, f"smtp_tls_policy_maps = {PEERS}"), \
            bench.daemon("setup-changed") as daemon:
        setup(daemon, "--apply")
        subprocess.run(["postconf", "-e", "smtp_tls_loglevel = 2",
                        f"smtp_tls_policy_maps = texthash:/a, {OURS}"],
                       check=True)
        said = setup(daemon, "--remove", "--apply")
        found_in(r"left: smtp_tls_loglevel was changed since", said, "log level")
        equal(value("smtp_tls_loglevel"), "2", "the log level")
        equal(value("smtp_tls_policy_maps"), "texthash:/a", "the map")
        found_in(f"left: {COPIES[0]} is kept", said, "the copy")
        assert COPIES[0].exists(), "the copy is gone"
        assert not RECORD.exists(), "the record is left"


def beside_another_instance(bench):
    """Only this one's state counts; what cannot be told is no success."""
    false_postfix = bench.internet.folder / "false-postfix"
    false_postfix.mkdir()
    (false_postfix / "postfix").write_text("#!/bin/sh\nexit 1\n")
    (false_postfix / "postfix").chmod(0o755)
    with plain_postfix(bench), bench.daemon("setup-instance") as daemon:
        # which fails for an instance that is down
        subprocess.run(["postconf", "-e", "multi_instance_wrapper = /bin/false"],
                       check=True)
        found_in("Postfix was reloaded", setup(daemon, "--apply"), "apply")
        path = f"{false_postfix}:{os.environ['PATH']}"
        found_in("Postfix was not reloaded",
                 setup(daemon, "--remove", "--apply", status=1,
                       env={**os.environ, "PATH": path}), "the failure")
        assert RECORD.exists(), "the record is gone before the reload"
        found_in("Postfix was reloaded", setup(daemon, "--remove", "--apply"),
                 "the next one")
        assert not RECORD.exists(), "the record is left"


def where_nothing_can_be_written(bench):
    """Root is told why."""
    daemon = bench.daemon("setup-read-only")
    subprocess.run(["mount", "--bind", ETC, ETC], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", ETC], check=True)
        said = setup(daemon, "--apply", status=1)
        found_in("cannot write to /etc/postfix: Read-only file system", said,
                 "the reason")
    finally:
        subprocess.run(["umount", ETC], check=True)


def with_a_deaf_resolver(bench):
    """The daemon could not resolve what Postfix asks about."""
    with plain_postfix(bench):
        daemon = bench.daemon("setup-deaf", dns__server="127.0.0.99")
        found_in(r"warning: dns\.server 127\.0\.0\.99\S* it does not answer",
                 setup(daemon, status=1), "the warning")


def false_postconf(bench, change, calls='"-e smtp_"*'):
    """An environment in which postconf is `change` where it changes main.cf."""
    folder = bench.internet.folder / "false-postconf"
    folder.mkdir(exist_ok=True)
    script = folder / "postconf"
    script.write_text(f'#!/bin/sh\ncase "$*" in {calls}) '
                      f'{change};; esac\nexec /usr/sbin/postconf "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def killed_amid(bench):
    """What a killed setup has begun is ended or undone by the next."""
    reuse = "smtp_tls_connection_reuse"
    with plain_postfix(bench), bench.daemon("setup-killed") as daemon:
        before = explicit()
        for words, after in ((["--apply"], OURS), (["--remove", "--apply"], "")):
            # which has tlsproxy come first
            subprocess.run(["postconf", "-e", f"{reuse} = yes"], check=True)
            killed = {"status": -9, "env": false_postconf(
                bench, 'kill -9 "$PPID"; exit 1')}
            setup(daemon, "--apply", **killed)
            assert RECORD.exists(), "there is no record"
            assert explicit()[1] != before[1], "killed before all changes"
            equal(value("smtp_tls_policy_maps"), "", "the map")
            subprocess.run(["postconf", "-X", reuse], check=True)
            found_in("Postfix was reloaded", setup(daemon, *words), "it")
            equal(value("smtp_tls_policy_maps"), after, "the map")
            setup(daemon, "--remove", "--apply")
            equal(explicit(), before, "settings when it is out")
            assert not RECORD.exists(), "the record is left"


def failed_amid(bench):
    """Where a change cannot be made, those before it are undone."""
    with plain_postfix(bench, "smtp_tls_connection_reuse = yes"), \
            bench.daemon("setup-failed") as daemon:
        before = explicit()
        said = setup(daemon, "--apply", status=1, env=false_postconf(
            bench, "echo 'disk full' >&2; exit 1"))
        found_in("disk full; what was changed is set back", said, "the reason")
        equal(explicit(), before, "settings")
        nothing_of_ours_is_left()
        # taken, and not there: as if it stood behind another that counts
        said = setup(daemon, "--apply", status=1,
                     env=false_postconf(bench, "exit 0"))
        found_in("was set, but Postfix does not read it so", said,
                 "the reason")
        equal(explicit(), before, "settings")
        # done, and said to have failed
        said = setup(daemon, "--apply", status=1, env=false_postconf(
            bench, '/usr/sbin/postconf "$@"; exit 1'))
        found_in("what was changed is set back", said, "the effect")
        equal(explicit(), before, "settings")
        # neither done as it says, nor to be undone
        said = setup(daemon, "--apply", status=1, env=false_postconf(
            bench, '[ "$1" = -X ] || /usr/sbin/postconf "$@"; exit 1',
            '"-e smtp_"*|"-X smtp_"*'))
        found_in("changed, and not set back: .*smtp_tls_policy_maps", said,
                 "what is there")
        equal(value("smtp_tls_policy_maps"), OURS, "the map")
        subprocess.run(["postconf", "-X", "smtp_tls_connection_reuse"],
                       check=True)
        setup(daemon, "--remove", "--apply")
        equal(value("smtp_tls_policy_maps"), "", "the map when it is out")


def out_without_a_configuration(bench):
    """--remove needs neither postern.conf, nor the daemon, nor the record."""
    with plain_postfix(bench):
        before = explicit()
        with bench.daemon("setup-broken") as daemon:
            setup(daemon, "--apply")
        daemon.config.write_text("[policy]\nlisten = nonsense\n")
        found_in(r"defaults\s+are\s+used",
                 setup(daemon, "--remove", "--apply"), "the warning")
        equal(explicit(), before, "settings when it is out")
        equal(setup(daemon, "--remove", "--apply"), "", "what it says then")
        setup(daemon, "--apply", status=2)
        setup(daemon, "--remove", "--apply", "--aply", status=2)

        daemon.configure()
        with daemon.start():
            setup(daemon, "--apply")
        RECORD.unlink()
        found_in(r"there\s+is\s+no\s+record",
                 setup(daemon, "--remove", "--apply"), "what is left")
        equal(value("smtp_tls_policy_maps"), "", "the map")
        equal(value("smtp_tls_security_level"), "may", "what is not only ours")


def without_postfix(bench):
    """Nothing is to be done, and nothing is said, as a package would ask."""
    daemon = bench.daemon("setup-no-postfix")
    subprocess.run(["mount", "--bind", "/dev/null", "/usr/sbin/postconf"],
                   check=True)
    try:
        equal(setup(daemon, "--remove", "--apply"), "", "what it says")
        found_in("there is no Postfix here", setup(daemon, "--apply", status=1),
                 "the reason")
    finally:
        subprocess.run(["umount", "/usr/sbin/postconf"], check=True)


def two_at_once(bench):
    """The second is to come again."""
    daemon = bench.daemon("setup-twice")
    folder = os.open(ETC, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        found_in("another setup runs", setup(daemon, "--apply", status=75),
                 "the reason")
    finally:
        os.close(folder)


def believes_no_record_of_others(bench):
    """Root acts by it; without it, only what is ours without doubt goes."""
    with plain_postfix(bench), bench.daemon("setup-record") as daemon:
        setup(daemon, "--apply")
        RECORD.chmod(0o666)
        found_in("others may write it", setup(daemon, "--apply", status=1),
                 "the reason")
        found_in(r"others\s+may\s+write\s+it",
                 setup(daemon, "--remove", "--apply"), "the reason")
        equal(value("smtp_tls_policy_maps"), "", "the map")
        equal(value("smtp_tls_security_level"), "may", "what is not only ours")
        assert RECORD.exists(), "the record is gone"


def report_mail(bench):
    """Reports about a policy are not held by it, other mail is."""
    if sender.tells_of_sessions():
        raise Skipped("to this machine's Postfix the mails tell it themselves")
    reports = f"tls-reports@{world.SENDER_DOMAIN}"
    with plain_postfix(bench), \
            bench.daemon("setup-reports",
                         report__sender_address=reports) as daemon:
        before = explicit()
        setup(daemon, "--apply")
        equal(value("sender_dependent_default_transport_maps"),
              f"inline:{{{reports}=postern-reports:}}", "the map")
        recipient = f"reports@{WRONG_CERTIFICATE}"
        subprocess.run(["sendmail", "-f", reports, "--", recipient],
                       input=sender.message(recipient), check=True)
        equal(bench.wait(recipient).status, "sent", "the report")
        equal(bench.send_and_wait(WRONG_CERTIFICATE).status, "deferred",
              "other mail")
        setup(daemon, "--remove", "--apply")
        equal(explicit(), before, "settings when it is out")
        nothing_of_ours_is_left()


SCENARIOS = [in_and_out, asks_the_daemon_first, beside_other_tables,
             what_still_asks, what_is_no_plain_file,
             beside_another_instance, where_nothing_can_be_written,
             with_a_deaf_resolver, what_was_changed_since, killed_amid, failed_amid,
             out_without_a_configuration, without_postfix, two_at_once,
             believes_no_record_of_others, report_mail]
for scenario in SCENARIOS:
    scenario.__name__ = "setup_" + scenario.__name__
