"""Lines of `raw.idmap`, which put single ids or ranges of the host into a container's map.

A line is "both|uid|gid HOST[-END] GUEST[-END]". Texts are LXD's. Source: LXD, raw.idmap; user_namespaces(7).
"""

import itertools
from collections.abc import Iterable
from typing import Literal

from lightervisor.errors import Invalid
from lightervisor.kernel.idmap import FULL_RANGE, IdMap, IdRange

KEY = "raw.idmap"
MOST_RANGES, MOST_BYTES = 340, 4095  # of one map: user_namespaces(7), "less than the system page size"
ONE_KIND: tuple[Literal["uid"], Literal["gid"]] = ("uid", "gid")


def parse(text: str) -> list[IdRange]:
    """The ranges in order. Raises Invalid for what is no such line, for root of the host, and for ids said twice."""
    found = [_entry(line) for line in text.splitlines() if line.strip()]
    for kind in ONE_KIND:
        mine = [one for one in found if one.kind in ("both", kind)]
        for ids, where in (([(r.host, r.count) for r in mine], "host"), ([(r.guest, r.count) for r in mine], "guest")):
            if (twice := _overlap(ids)) is not None:
                raise Invalid(KEY, text=f"The {where} {kind} {twice} is mapped twice in raw.idmap")
    return found


def check(text: str) -> None:
    """As `parse`, for its complaints alone."""
    parse(text)


def carve(base: IdMap, entries: Iterable[IdRange]) -> IdMap:
    """A map with these ranges in place of what it had for their ids inside.

    Raises Invalid when a host id is one that the map gives to others already, or when the kernel would not take it.
    """
    entries = list(entries)
    if not entries:
        return base
    ranges: list[IdRange] = []
    for kind in ONE_KIND:
        mine = [one for one in base.ranges if one.kind in ("both", kind)]
        for entry in entries:
            if entry.kind in ("both", kind):
                if any(_meet(entry.host, entry.count, one.host, one.count) for one in mine):
                    remedy = f"take a host {kind} outside the ranges that instances get from /etc/sub{kind}"
                    raise Invalid(KEY, text="Host ID is in the range of subids", remedy=remedy)
                mine = [piece for one in mine for piece in _without(one, entry.guest, entry.count)]
                mine.append(IdRange(kind, entry.host, entry.guest, entry.count))
        ranges += [IdRange(kind, one.host, one.guest, one.count) for one in sorted(mine, key=lambda one: one.guest)]
    carved = IdMap(tuple(ranges))
    for kind in ONE_KIND:
        lines = carved.proc_lines(kind)
        if lines.count("\n") > MOST_RANGES or len(lines) > MOST_BYTES:
            remedy = "join lines for ids that follow each other: both 1000-1009 1000-1009"
            raise Invalid(KEY, text="The id map has more ranges than the kernel takes", remedy=remedy)
    return carved


def without_root(idmap: IdMap) -> IdMap:
    """A map in which root inside and its group are nobody."""
    return IdMap(tuple(piece for one in idmap.ranges for piece in _without(one, 0, 1)))


def _entry(line: str) -> IdRange:
    words = line.split()
    if len(words) != 3:
        raise Invalid(KEY, text=f'Invalid ID map line "{line}"', remedy='as in "both 1000 1000"')
    kind, (host, count), (guest, guests) = words[0], _range(words[1]), _range(words[2])
    if kind not in ("both", *ONE_KIND):
        raise Invalid(KEY, text=f'Invalid ID map type "{line}"', remedy="it is both, uid or gid")
    if count != guests:
        raise Invalid(KEY, text=f'The ID map ranges are of different sizes "{line}"')
    if host == 0:
        remedy = "security.privileged=true, if that is what you want"
        raise Invalid(KEY, text=f"Invalid ID map line '{line}': 0 is root of the host", remedy=remedy)
    return IdRange(kind, host, guest, count)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = [first, last] if dash else [first]
    if any(not (one.isascii() and one.isdecimal() and len(one) <= 10) for one in numbers):
        raise Invalid(KEY, text=f'Invalid ID map range "{text}"')
    start, end = int(first), int(last if dash else first)
    if end < start or end >= FULL_RANGE:
        raise Invalid(KEY, text=f'Invalid ID map range "{text}"')
    return start, end - start + 1


def _without(one: IdRange, guest: int, count: int) -> list[IdRange]:
    """What is left of a range when some ids inside are taken out of it."""
    end, stop = one.guest + one.count, guest + count
    pieces = [(one.guest, min(end, guest)), (max(one.guest, stop), end)]
    return [
        IdRange(one.kind, one.host + first - one.guest, first, last - first) for first, last in pieces if first < last
    ]


def _meet(start: int, count: int, other: int, others: int) -> bool:
    return start < other + others and other < start + count


def _overlap(ids: list[tuple[int, int]]) -> int | None:
    ordered = sorted(ids)
    for (start, count), (following, _) in itertools.pairwise(ordered):
        if start + count > following:
            return following
    return None
