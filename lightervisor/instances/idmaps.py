"""Which id map each instance gets, and the allotting of ranges of their own to isolated ones.

The map of the next start follows from the expanded configuration, and an isolated instance keeps its range
(`volatile.idmap.base`) as long as that is free. Ranges are chosen among the ids that root has in both /etc/subuid and
/etc/subgid, after the first 65536, which instances without isolation use most. Source: LXD, security.idmap.*.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from lightervisor.config.merge import Expanded
from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Conflict, HostError, Invalid
from lightervisor.kernel import idmap_raw
from lightervisor.kernel.idmap import SMALLEST, IdMap, IdRange, from_json, host_ranges

KEYS = ("raw.idmap", "security.privileged", "security.idmap.isolated", "security.idmap.base", "security.idmap.size")
BASE, NEXT = "volatile.idmap.base", "volatile.idmap.next"
Block = tuple[int, int]


class IdMaps:
    """The maps of all instances of this server."""

    def __init__(self, rows: InstanceRows, expand: Callable[[InstanceRow], Expanded]) -> None:
        self._rows, self._expand = rows, expand
        self._reserved: dict[tuple[str, str], Block] = {}

    def of(self, row: InstanceRow, expanded: Expanded) -> IdMap | None:
        """The map of the next start; None when it is privileged. Raises Invalid, Conflict, HostError."""
        return self._plan(row, expanded)[0]

    @contextmanager
    def chosen(self, row: InstanceRow, expanded: Expanded) -> Generator[dict[str, str], None, None]:
        """The volatile keys for the next start, to be stored while this lasts: until then nobody else gets its ids.

        Raises Invalid, Conflict and HostError as `of`.
        """
        (idmap, block), place = self._plan(row, expanded), (row.project, row.name)
        if block is not None:
            self._reserved[place] = block
        try:
            yield {BASE: str(block[0] if block else 0), NEXT: idmap.to_json() if idmap else "[]"}
        finally:
            self._reserved.pop(place, None)

    def _plan(self, row: InstanceRow, expanded: Expanded) -> tuple[IdMap | None, Block | None]:
        """The map, and the range of its own if it is isolated."""
        config = expanded.config
        if is_true(config.get("security.privileged")):
            return None, None
        shared, raw = host_ranges(), idmap_raw.parse(config.get("raw.idmap", ""))
        if not is_true(config.get("security.idmap.isolated")):
            return idmap_raw.carve(shared, raw), None
        others = self._others(row, shared)
        block = self._block(row, config, _common(shared), others)
        for entry in raw:
            ids = entry.host, entry.count
            if any(_meet(ids, one) for one in (*_blocks(shared), *others.values())):
                raise Invalid("raw.idmap", text="Host ID is in the range of subids")
        return idmap_raw.carve(IdMap((IdRange("both", block[0], 0, block[1]),)), raw), block

    def _block(
        self, row: InstanceRow, config: Mapping[str, str], pool: Block, others: Mapping[tuple[str, str], Block]
    ) -> Block:
        size = int(config.get("security.idmap.size") or SMALLEST)
        if wanted := config.get("security.idmap.base"):
            _check_base((int(wanted), size), pool, others)
            return int(wanted), size
        first, end = pool[0] + SMALLEST, pool[0] + pool[1]
        taken = sorted(others.values())
        kept = int(row.config.get(BASE) or 0), size
        if first <= kept[0] and sum(kept) <= end and not any(_meet(kept, one) for one in taken):
            return kept
        for start, count in taken:
            if first + size <= start:
                break
            first = max(first, start + count)
        if first + size > end:
            remedy = "give root a larger range in /etc/subuid and /etc/subgid, or set a smaller security.idmap.size"
            text = "Not enough uid/gid available for the container"
            raise HostError("id map", text=text, remedy=remedy)
        return first, size

    def _others(self, row: InstanceRow, shared: IdMap) -> dict[tuple[str, str], Block]:
        """What other instances have for themselves: by their configuration, and by what they run with still."""
        found = {place: block for place, block in self._reserved.items() if place != (row.project, row.name)}
        for other in self._rows.list():
            place = other.project, other.name
            if place == (row.project, row.name):
                continue
            config = self._expand(other).config
            if is_true(config.get("security.idmap.isolated")) and not is_true(config.get("security.privileged")):
                base = int(config.get("security.idmap.base") or other.config.get(BASE) or 0)
                if base:
                    found.setdefault(place, (base, int(config.get("security.idmap.size") or SMALLEST)))
            if other.config.get("volatile.last_state.power") == "RUNNING":
                for block in _blocks(_in_use(other)):
                    if block not in _blocks(shared) and _meet(block, _common(shared)):
                        found[other.project, f"{other.name}@{block[0]}"] = block
        return found


def _in_use(row: InstanceRow) -> IdMap | None:
    try:
        return from_json(row.config.get("volatile.idmap.current", ""))
    except Invalid:  # a user may write these keys
        return None


def _blocks(idmap: IdMap | None) -> set[Block]:
    return {(one.host, one.count) for one in idmap.ranges} if idmap else set()


def _common(shared: IdMap) -> Block:
    """The ids that root has for users and for groups alike. Raises HostError when there are none."""
    starts, ends = zip(*((start, start + count) for start, count in _blocks(shared)), strict=True)
    start, end = max(starts), min(ends)
    if end - start < SMALLEST:
        remedy = "give root the same range in both files"
        raise HostError("id map", cause="/etc/subuid and /etc/subgid have no ids in common for root", remedy=remedy)
    return start, end - start


def _check_base(wanted: Block, pool: Block, others: Mapping[tuple[str, str], Block]) -> None:
    base, size = wanted
    text = f"The host ids {base}-{base + size - 1} of security.idmap.base "
    if base + size > (1 << 32) - 1:
        raise Invalid("security.idmap.base", text=f"{text}are more than there are")
    if base < SMALLEST:
        raise Invalid("security.idmap.base", text=f"{text}belong to the host itself", remedy=f"at least {SMALLEST}")
    if _meet(wanted, (pool[0], SMALLEST)):
        remedy = f"take {pool[0] + SMALLEST} or more, or leave the choice to the server"
        raise Invalid("security.idmap.base", text=f"{text}are shared by instances without isolation", remedy=remedy)
    for (_, name), block in others.items():
        if _meet(wanted, block):
            remedy = "leave security.idmap.base unset: the server chooses free ones"
            owner = name.partition("@")[0]
            raise Conflict("security.idmap.base", text=f"{text}belong to the instance {owner}", remedy=remedy)


def _meet(one: Block, other: Block) -> bool:
    return one[0] < sum(other) and other[0] < sum(one)
