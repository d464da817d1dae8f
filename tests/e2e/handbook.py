"""The commands of docs/operations.md, to be run as they stand there.

Blocks fenced as `sh` are run, in their order. Other blocks are configuration, or
commands that are marked as examples: the paragraph before them says so.
"""

import re

from testnet import HERE

HANDBOOK = HERE.parents[1] / "docs/operations.md"
FENCED = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
# An indented block, with the paragraph before it.
INDENTED = re.compile(r"((?:^(?! {4}|```).+\n)+)\n((?:^ {4,}.*\n)+)", re.M)
COMMAND = re.compile(r"^\s+(postern-(?:policy|report)|systemctl|apt-get|apt|"
                     r"postconf|postfix|postmap|sqlite3|openssl|journalctl|"
                     r"echo|usermod|chgrp|chmod|sendmail|tail) ", re.M)
MARK = re.compile(r"[Ff]or\s+example")


def commands():
    """Each command as one line, with the section that it stands in."""
    text = HANDBOOK.read_text()
    found = []
    for block in FENCED.finditer(text):
        section = re.findall(r"^##+ (.*)$", text[:block.start()], re.M)[-1]
        lines = re.sub(r"\\\n\s*", "", block[1]).splitlines()
        found += [(section, line.strip()) for line in lines]
    return found


def unmarked():
    """Blocks of commands that no test runs and that are not marked either."""
    text = FENCED.sub("", HANDBOOK.read_text())
    return [block for paragraph, block in INDENTED.findall(text)
            if COMMAND.search(block) and not MARK.search(paragraph)]
