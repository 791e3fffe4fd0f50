"""The names of snapshots: what may be one, and which one comes next. Source: LXD, `snapshots.pattern`."""

import re
from collections.abc import Collection

from lightervisor.errors import Invalid

DEFAULT_PATTERN = "snap%d"
LONGEST = 255
HIDDEN = "moment "
"""How the names begin of snapshots that the daemon takes to read what runs; nobody sees them, and with this blank they
are no user's. After a crash they may lie in a pool until the next start."""


def check(name: str) -> None:
    """Raise Invalid, with LXD's texts, for what cannot be the name of a snapshot and of its directory."""
    complaint = ""
    if not name:
        complaint = "No name provided"
    elif "/" in name:
        complaint = 'Invalid snapshot name: Cannot contain "/"'
    elif any(character.isspace() for character in name):
        complaint = "Invalid instance snapshot name: Cannot contain space or / characters"
    elif name in (".", "..") or not name.isprintable():
        complaint = f"Invalid instance snapshot name: {name!r} cannot be the name of a directory"
    elif len(name.encode(errors="surrogateescape")) > LONGEST:
        complaint = f"Invalid instance snapshot name: Longer than {LONGEST} bytes"
    if complaint:
        raise Invalid("snapshot", name, text=complaint, remedy="use letters, digits, dots, dashes and underscores")


def following(pattern: str, known: Collection[str]) -> str:
    """The next name by a pattern, whose templates are rendered already; `known` are the instance's snapshots.

    `%d` is one more than the highest number so far. Without it a name that is taken gets -0, -1, … appended.
    Raises Invalid with LXD's text for more than one `%d`.
    """
    if pattern.count("%d") > 1:
        raise Invalid("snapshots.pattern", pattern, text="Snapshot pattern may contain '%d' only once")
    if "%d" not in pattern:
        if pattern not in known:
            return pattern
        pattern = f"{pattern}-%d"
    before, after = pattern.split("%d")
    numbered = re.compile(rf"{re.escape(before)}([0-9]{{1,9}}){re.escape(after)}")
    numbers = [int(found[1]) for name in known if (found := numbered.fullmatch(name))]
    return f"{before}{max(numbers, default=-1) + 1}{after}"
