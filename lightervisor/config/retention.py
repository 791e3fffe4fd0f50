"""Which of many snapshots stay when they are thinned out: "24h,7d,4w", as `snapshots.retention` has it. Our own.

A rule keeps one of each hour, day, week, month or year, over as many of them as it says, counted back from the
youngest snapshot: what is there does not go because time passes, only because something younger came. Of each period
the youngest stays, so what a longer rule keeps was kept by the shorter ones before.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from lightervisor.errors import Invalid

FORM = "a list of numbers, each with one of h, d, w, m, y, such as 24h,7d,4w"
_WEEK_DAYS, _YEAR_MONTHS = 7, 12
_RULE = re.compile(r"([1-9][0-9]{0,4})([hdwmy])")


def parse(value: str) -> dict[str, int]:
    """How many periods of each unit are kept. Raises Invalid."""
    rules: dict[str, int] = {}
    for part in value.split(","):
        found = _RULE.fullmatch(part.strip())
        if found is None:
            raise Invalid("retention", value, text=f"Invalid retention {part.strip()!r}", remedy=f"it is {FORM}")
        if found[2] in rules:
            text = f"Invalid retention {value!r}: {found[2]} is given twice"
            raise Invalid("retention", value, text=text, remedy=f"it is {FORM}")
        rules[found[2]] = int(found[1])
    return rules


def check(value: str) -> None:
    """Raise Invalid unless this is a retention."""
    parse(value)


def superfluous(value: str, taken: Sequence[datetime]) -> list[int]:
    """The places in `taken`, in any order, of what no rule keeps; the youngest always stays.

    The time zone of each moment says where its hours and days begin. Raises Invalid for what is no retention.
    """
    rules = parse(value)
    youngest_first = sorted(range(len(taken)), key=lambda place: taken[place], reverse=True)
    kept = set(youngest_first[:1])
    for unit, count in rules.items():
        kept |= _kept(unit, count, [(place, taken[place]) for place in youngest_first])
    return [place for place in range(len(taken)) if place not in kept]


def _kept(unit: str, count: int, youngest_first: Collection[tuple[int, datetime]]) -> set[int]:
    found: dict[int, int] = {}
    first: int | None = None
    for place, moment in youngest_first:
        period = _period(unit, moment)
        first = period if first is None else first
        if first - period < count:
            found.setdefault(period, place)
    return set(found.values())


def _period(unit: str, moment: datetime) -> int:
    """The number of the hour, day, week, month or year that a moment lies in; each is one more than the one before."""
    match unit:
        case "h":
            return int(moment.timestamp() - moment.minute * 60 - moment.second) // 3600
        case "d":
            return moment.toordinal()
        case "w":
            return (moment.toordinal() - 1) // _WEEK_DAYS  # day 1 was a Monday
        case "m":
            return moment.year * _YEAR_MONTHS + moment.month
        case _:
            return moment.year
