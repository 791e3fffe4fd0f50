"""Spans of time such as "1d 12H", as the keys about expiry have them. Source: LXD, expiry expressions."""

import re
from calendar import monthrange
from datetime import datetime, timedelta

from lightervisor.errors import Invalid

UNITS_S = {"S": 1, "M": 60, "H": 3600, "d": 86400, "w": 7 * 86400}
LONGEST_NUMBER = 9


def after(start: datetime, expression: str) -> datetime | None:
    """The moment that lies a span after another; None for an empty span, which never ends.

    S, M, H, d and w are seconds, minutes, hours, days and weeks, m and y calendar months and years, each once at most.
    Raises Invalid.
    """
    end, seen = start, set[str]()
    for part in expression.split():
        found = re.fullmatch(rf"([0-9]{{1,{LONGEST_NUMBER}}})([SMHdwmy])", part)
        if found is None or found[2] in seen:
            raise Invalid("expiry", text="Invalid expiry expression")
        count, unit = int(found[1]), found[2]
        seen.add(unit)
        try:
            if unit in UNITS_S:
                end += timedelta(seconds=count * UNITS_S[unit])
            else:
                end = _months_later(end, count * (12 if unit == "y" else 1))
        except (OverflowError, ValueError) as error:
            raise Invalid("expiry", expression, cause="it lies after the year 9999") from error
    return None if end == start else end


def _months_later(start: datetime, months: int) -> datetime:
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    day = min(start.day, monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def check(value: str) -> None:
    """Raise Invalid, with LXD's text, unless this is a span."""
    after(datetime(2000, 1, 1), value)  # noqa: DTZ001  # any moment does
