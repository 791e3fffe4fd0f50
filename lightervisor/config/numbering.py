"""The next name of a snapshot, by its pattern. Source: LXD, `snapshots.pattern`."""

import re
from collections.abc import Collection

from lightervisor.errors import Invalid

DEFAULT_PATTERN = "snap%d"


def following(pattern: str, known: Collection[str]) -> str:
    """The next name by a pattern, whose templates are rendered already; `known` are the snapshots that there are.

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
