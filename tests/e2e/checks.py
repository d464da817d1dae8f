"""What scenarios check with."""

import re

DANE = "dane-match.test"
STS = "sts-enforce.test"


class Skipped(Exception):
    """A scenario that cannot run here, and why."""


def equal(got, expected, what):
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"


def is_temp(reply, what):
    """TEMP with a reason in words."""
    assert re.fullmatch(r"TEMP \S+( \S+){2,}", reply), \
        f"{what}: expected TEMP and a reason in words, got {reply!r}"


def found_in(pattern, text, what):
    """The match of a regular expression that `text` must contain."""
    match = re.search(pattern, text)
    assert match, f"{what}: nothing matches {pattern!r} in {text[-2000:]!r}"
    return match
