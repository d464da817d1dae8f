"""The commands beside the daemon: query, cache, check-config."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess

import world
from cases import NONE, secure
from checks import DANE, STS, equal, found_in
from daemon import ask
from sender import SOCKET
from testnet import PATIENCE, wait_for

MAIN_CF = pathlib.Path("/etc/postfix/main.cf")
UNPRIVILEGED = {"user": "nobody", "group": "nogroup", "extra_groups": []}


def query_command(bench):
    """postern-policy query prints the reply first, and says why."""
    daemon = bench.daemon("query")
    for domain, expected in ((STS, secure("mx.sts-enforce.test")),
                             (DANE, "OK dane-only")):
        found = daemon.command("query", domain)
        equal(found.returncode, 0, f"exit status of query {domain}")
        assert expected in found.stdout, \
            f"query {domain}: no {expected!r} in {found.stdout!r}"
        assert f"mx.{domain}" in found.stdout, "the MX host is not named"


def cache_command(bench):
    """list, show and purge beside the daemon, which follows a purge."""
    domain = world.BY_NAME["sts-purged"]
    with bench.daemon("purged") as daemon:
        for name in (domain.fqdn, STS):
            equal(ask(name), secure("mx." + name), "reply")
        bench.internet.publish(dataclasses.replace(domain, sts=None))
        listed = daemon.command("cache", "list")
        for name in (domain.fqdn, STS):
            found_in(rf"(?m)^{name} +enforce +\d", listed.stdout, "list")
        lines = daemon.command("cache", "list", "--json").stdout.splitlines()
        equal([(one["domain"], one["mode"]) for one in map(json.loads, lines)],
              [(STS, "enforce"), (domain.fqdn, "enforce")], "list --json")
        shown = daemon.command("cache", "show", domain.fqdn)
        found_in(rf"mx +mx\.{domain.fqdn}\n", shown.stdout, "show")
        equal(daemon.remembered(domain.fqdn)["mx"], ["mx." + domain.fqdn],
              "show --json")
        equal(daemon.command("cache", "show", DANE).returncode, 1,
              "exit status of show for a stranger")

        equal(ask(domain.fqdn + ":587"), secure("mx." + domain.fqdn),
              "reply while it is remembered")
        purged = daemon.command("cache", "purge", domain.fqdn, "--json")
        equal((purged.returncode, purged.stdout), (0, '{"purged":1}\n'),
              "purge")
        wait_for(lambda: ask(domain.fqdn) == NONE, PATIENCE,
                 "the purge in the daemon")
        equal(ask(domain.fqdn + ":587"), NONE, "another port, too")
        equal(daemon.command("cache", "purge", domain.fqdn).returncode, 1,
              "exit status of the second purge")
        assert daemon.remembered(STS), "the other policy is gone"
        daemon.command("cache", "purge", "--all")
        assert not daemon.remembered(STS), "purge --all left a policy"
        wait_for(lambda: "event=purged domain=(all)" in daemon.text(),
                 PATIENCE, "the purge of all in the daemon")
        equal(ask(STS), secure("mx." + STS), "reply after the purge of all")


def for_everybody(bench):
    """The program where everybody may run it."""
    binary = bench.internet.folder / "postern-policy"
    if not binary.exists():
        binary.touch()
        subprocess.run(["mount", "--bind", bench.binary, binary], check=True)
    return binary


def query_command_without_rights(bench):
    """What is remembered does not count for somebody else; all else does."""
    with bench.daemon("query-rights") as daemon:
        equal(ask(STS), secure("mx." + STS), "reply")
        daemon.binary = for_everybody(bench)
        found = daemon.command("query", STS, **UNPRIVILEGED)
        daemon.binary = bench.binary
        equal(found.returncode, 0, found.stderr)
        assert secure("mx." + STS) in found.stdout, found.stdout
        found_in(f"event=remembered_policies_unread .*{daemon.policy_file()}",
                 found.stderr, "the warning")


def cache_command_without_rights(bench):
    """Somebody else is refused, with the file's name, and harms nothing."""
    binary = for_everybody(bench)
    with bench.daemon("rights") as daemon:
        equal(ask(STS), secure("mx." + STS), "reply")
        daemon.binary = binary
        for words in (["list"], ["show", STS], ["purge", STS]):
            found = daemon.command("cache", *words, **UNPRIVILEGED)
            equal((found.returncode, found.stdout), (2, ""),
                  f"cache {words[0]} by somebody else")
            found_in(str(daemon.policy_file()), found.stderr, words[0])
            found_in("as root", found.stderr, words[0])
        daemon.binary = bench.binary
        assert daemon.remembered(STS), "the policy is gone"
        # what they may read, they still may not purge
        daemon.cache.chmod(0o755)
        daemon.policy_file().chmod(0o644)
        daemon.binary = binary
        found = daemon.command("cache", "purge", STS, **UNPRIVILEGED)
        equal(found.returncode, 2, "purge of a readable file")
        daemon.binary = bench.binary
        assert daemon.remembered(STS), "the policy is gone"


@contextlib.contextmanager
def postfix_setting(setting):
    """Stands in main.cf for a while."""
    before = MAIN_CF.read_bytes()
    subprocess.run(["postconf", "-e", setting], check=True)
    try:
        yield
    finally:
        MAIN_CF.write_bytes(before)


def check_config(bench):
    """Names what is wrong, and where; of Postfix, what setup would change."""
    daemon = bench.daemon("check")
    checked = daemon.command("check-config")
    equal((checked.returncode, checked.stderr), (0, ""), checked.stdout)
    assert "would change" not in checked.stdout, checked.stdout

    for setting, warning in (
            (f"smtp_tls_CAfile={bench.internet.certificates.ca}",
             r"smtp_tls_CAfile = \S+: it lacks \d+ of the \d+ authorities"),
            ("smtp_host_lookup=native",
             "smtp_host_lookup = native: Postfix's DANE code gives up"),
            ("smtp_dns_resolver_options=res_dnsrch",
             "smtp_dns_resolver_options = res_dnsrch: Postfix's DANE code")):
        with postfix_setting(setting):
            checked = daemon.command("check-config")
            equal(checked.returncode, 1, f"exit status with {setting}")
            found_in(f"(?m)^warning: {warning}", checked.stdout, setting)

    log = daemon.log.with_suffix(".maillog")
    log.write_text("1 2026-11-22T23:07:35Z mail postfix/smtp 443 - - text\n")
    daemon.configure(tlsrpt__maillog=log, tlsrpt__listen="none")
    checked = daemon.command("check-config")
    found_in(f"(?m)^warning: tlsrpt.maillog: no line of {log} can be read",
             checked.stdout, "a log in another form")

    daemon.configure(milter__listen=f"unix:{SOCKET.parent}/milter.sock")
    checked = daemon.command("check-config")
    equal((checked.returncode, checked.stderr), (1, ""), checked.stdout)
    found_in("(?m)^1 setting of Postfix would change: postern-policy setup "
             "shows it$", checked.stdout, "what would change")

    daemon.configure(cache__directory="/no/such/folder")
    checked = daemon.command("check-config")
    equal(checked.returncode, 1, "exit status without a cache directory")
    found_in("(?m)^warning: cache.directory: /no/such/folder ", checked.stdout,
             "the warning")

    overrides = daemon.log.with_suffix(".overrides")
    overrides.write_text("# fine\nexample.com nonsense\n")
    daemon.configure(policy__overrides=overrides)
    checked = daemon.command("check-config")
    equal(checked.returncode, 2, "exit status with bad overrides")
    found_in(f"{overrides}:2: 'nonsense'", checked.stderr, "the error")

    daemon.configure(policy__lisen="unix:/x")
    checked = daemon.command("check-config")
    equal(checked.returncode, 2, "exit status with an unknown key")
    found_in(rf"{daemon.config}:\d+: .*policy\.listen", checked.stderr,
             "the error")


def check_config_as_the_daemon_reads(bench):
    """Root reads what run.user may not; check-config tells."""
    daemon = bench.daemon("check-readable", run__user="nobody")
    overrides = daemon.log.with_suffix(".overrides")
    overrides.write_text("example.com off\n")
    overrides.chmod(0o600)
    daemon.configure(policy__overrides=overrides)
    checked = daemon.command("check-config")
    found_in("(?m)^warning: policy.overrides: nobody cannot read ",
             checked.stdout, "the warning")
    equal(checked.returncode, 1, "exit status")


def check_config_without_rights(bench):
    """A chroot that one may not look into is no end."""
    etc = SOCKET.parent.with_name("etc")
    etc.chmod(0o700)
    try:
        daemon = bench.daemon("check-rights")
        daemon.binary = for_everybody(bench)
        checked = daemon.command("check-config", **UNPRIVILEGED)
    finally:
        etc.chmod(0o755)
    equal(checked.stderr, "", "what it complains of")
    equal(checked.returncode, 0, checked.stdout)


SCENARIOS = [query_command, query_command_without_rights, cache_command,
             cache_command_without_rights, check_config,
             check_config_as_the_daemon_reads,
             check_config_without_rights]
