#!/usr/bin/python3 -B
"""A root with Debian 13's Postfix (3.10 or later, with libtlsrpt), kept.

    tests/e2e/debian13.py            makes it where it is missing (a minute)
    tests/e2e/debian13.py --remove   removes it

How: debian_root.py; 150 MB. newer_postfix.py mounts it read-only. Prints where
it is.
"""

import argparse
import sys

import debian_root

RECIPE = debian_root.Recipe(
    name="postfix", release="trixie", variant="essential",
    packages=("postfix",),
    hooks=('ls "$1"/usr/lib/*/libtlsrpt.so.*',
           'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
           # where newer_postfix.py mounts things
           'mkdir -p "$1"/run "$1"/var/lib/postfix "$1"/var/spool/postfix'))


def cached():
    """The root, or None where it has not been made."""
    return debian_root.cached(RECIPE)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remove", action="store_true")
    options = parser.parse_args()
    if options.remove:
        for path in debian_root.remove(RECIPE):
            sys.exit(f"in use, and stays: {path}")
        return
    try:
        print(debian_root.make(RECIPE, lambda text: print(
            text, file=sys.stderr, flush=True)))
    except debian_root.Trouble as trouble:
        sys.exit(f"debian13.py: {trouble}")


if __name__ == "__main__":
    main()
