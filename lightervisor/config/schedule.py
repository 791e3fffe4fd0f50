"""When something is to be done: five fields of cron, or aliases such as @daily. Source: LXD, `snapshots.schedule`.

Several are separated by a comma and a space. Fields know `*`, numbers, names of months and days, ranges, steps and
lists; when day of month and day of week are both given, one of them is enough, as in crontab(5).
"""

import re
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from lightervisor.errors import Invalid

FORM = "Schedule must be of the form: <minute> <hour> <day-of-month> <month> <day-of-week>"
ALIASES = {
    "@hourly": "{minute} * * * *",
    "@daily": "{minute} {hour} * * *",
    "@midnight": "{minute} 0 * * *",
    "@weekly": "{minute} {hour} * * 0",
    "@monthly": "{minute} {hour} 1 * *",
    "@annually": "{minute} {hour} 1 1 *",
    "@yearly": "{minute} {hour} 1 1 *",
}
STARTUP, NEVER = "@startup", "@never"
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS = (
    (0, 59, dict[str, int]()),
    (0, 23, dict[str, int]()),
    (1, 31, dict[str, int]()),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_SEPARATOR = re.compile(r",\s+|,(?=@)")
_PART = re.compile(r"(?:(?P<all>[*?])|(?P<first>\w{1,9})(?:-(?P<last>\w{1,9}))?)(?:/(?P<step>[0-9]{1,9}))?", re.ASCII)


def check(value: str) -> None:
    """Raise Invalid, with LXD's texts, unless this is a schedule."""
    for spec in _specs(value):
        if spec not in ALIASES and spec not in (STARTUP, NEVER):
            _parse(spec)


def is_due(value: str, moment: datetime, owner: str) -> bool:
    """Whether something is to be done in the minute of this moment, whose time zone counts.

    The aliases' minutes and hours differ between owners, so that not all is done at once; of one they are always the
    same. Raises Invalid for what is no schedule.
    """
    specs = _specs(value)
    if NEVER in specs:
        return False
    spread = zlib.crc32(owner.encode())
    exact = [ALIASES.get(spec, spec).format(minute=spread % 60, hour=spread // 60 % 24) for spec in specs]
    return any(_matches(spec, moment) for spec in exact if spec != STARTUP)


def is_at_start(value: str) -> bool:
    """Whether something is to be done when its owner starts."""
    specs = _specs(value)
    return STARTUP in specs and NEVER not in specs


def _specs(value: str) -> Sequence[str]:
    return [spec.strip() for spec in _SEPARATOR.split(value.strip().lower())] if value.strip() else []


def _matches(spec: str, moment: datetime) -> bool:
    minutes, hours, days, months, weekdays = _parse(spec)
    if moment.minute not in minutes or moment.hour not in hours or moment.month not in months:
        return False
    is_day, is_weekday = moment.day in days, (moment.weekday() + 1) % 7 in weekdays
    _, _, day, _, weekday = spec.split()
    if day[0] in "*?" or weekday[0] in "*?":
        return is_day and is_weekday
    return is_day or is_weekday


@lru_cache(maxsize=256)
def _parse(spec: str) -> tuple[frozenset[int], ...]:
    fields = spec.split()
    if len(fields) != len(_FIELDS):
        raise Invalid("schedule", spec, text=FORM, remedy=f"or {', '.join([*ALIASES, STARTUP, NEVER])}")
    return tuple(_field(text, *bounds) for text, bounds in zip(fields, _FIELDS, strict=True))


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        parsed = _PART.fullmatch(part)
        if parsed is None:
            raise _refused(f"failed to parse {part!r}")
        if parsed["all"]:
            first, last = low, high
        else:
            first = _number(parsed["first"], names)
            last = _number(parsed["last"], names) if parsed["last"] else high if parsed["step"] else first
        step = int(parsed["step"] or 1)
        if first < low:
            raise _refused(f"beginning of range ({first}) below minimum ({low}): {part}")
        if last > high:
            raise _refused(f"end of range ({last}) above maximum ({high}): {part}")
        if first > last:
            raise _refused(f"beginning of range ({first}) beyond end of range ({last}): {part}")
        if step == 0:
            raise _refused(f"step of range should be a positive number: {part}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(word: str, names: dict[str, int]) -> int:
    if word in names:
        return names[word]
    if not word.isdecimal():
        raise _refused(f"failed to parse number {word!r}")
    return int(word)


def _refused(why: str) -> Invalid:
    return Invalid("schedule", text=f"Error parsing schedule: {why}")
