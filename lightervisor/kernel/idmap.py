"""Maps between the ids inside a container and those of the host. Source: user_namespaces(7), subuid(5), LXD."""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from lightervisor.errors import HostError, Invalid

Kind = Literal["both", "uid", "gid"]
FULL_RANGE = 4294967295
SMALLEST = 65536
FALLBACK = (1_000_000, 1_000_000_000)


class IdRange(Struct, frozen=True):
    """`count` ids from `guest` inside, which are those from `host` outside."""

    kind: Kind
    host: int
    guest: int
    count: int


class IdMap(Struct, frozen=True):
    """A whole map; hashable, so that what is made for one can be kept by it."""

    ranges: tuple[IdRange, ...]

    @property
    def host_root(self) -> int:
        """The host's uid of root inside. Raises Invalid when root is not mapped."""
        return self.to_host(0, "uid")

    @property
    def host_root_gid(self) -> int:
        """The host's gid of root's group inside. Raises Invalid when it is not mapped."""
        return self.to_host(0, "gid")

    def to_host(self, guest: int, kind: Literal["uid", "gid"]) -> int:
        """The host's id of one inside. Raises Invalid for an id that has none."""
        for one in self.ranges:
            if one.kind in ("both", kind) and one.guest <= guest < one.guest + one.count:
                return one.host + guest - one.guest
        raise Invalid(kind, str(guest), cause="it is outside the container's id map")

    def to_guest(self, host: int, kind: Literal["uid", "gid"]) -> int:
        """The id inside of one of the host's; 65534 ("nobody") when it has none, as the kernel shows it."""
        for one in self.ranges:
            if one.kind in ("both", kind) and one.host <= host < one.host + one.count:
                return one.guest + host - one.host
        return 65534

    def proc_lines(self, kind: Literal["uid", "gid"]) -> str:
        """The text of /proc/<pid>/uid_map or gid_map."""
        return "".join(f"{r.guest} {r.host} {r.count}\n" for r in self.ranges if r.kind in ("both", kind))

    def lxc_lines(self) -> list[tuple[str, str]]:
        """The `lxc.idmap` lines."""
        return [
            ("lxc.idmap", f"{letter} {r.guest} {r.host} {r.count}")
            for letter, kind in (("u", "uid"), ("g", "gid"))
            for r in self.ranges
            if r.kind in ("both", kind)
        ]

    def to_json(self) -> str:
        """LXD's form, as in `volatile.last_state.idmap`."""
        entries = [
            {
                "Isuid": kind == "uid",
                "Isgid": kind == "gid",
                "Hostid": r.host,
                "Nsid": r.guest,
                "Maprange": r.count,
            }
            for kind in ("uid", "gid")
            for r in self.ranges
            if r.kind in ("both", kind)
        ]
        return json.dumps(entries, separators=(",", ":"))


def completed(idmap: IdMap) -> IdMap:
    """The map with an id inside for each other one of the host, somewhere between and behind its own ranges.

    Through a mount with such a map every owner can be written. Raises Invalid for ranges that overlap.
    """
    kinds: tuple[Literal["uid", "gid"], ...] = ("uid", "gid")
    ranges: list[IdRange] = []
    for kind in kinds:
        own = [IdRange(kind, one.host, one.guest, one.count) for one in idmap.ranges if one.kind in ("both", kind)]
        hosts = _gaps([(one.host, one.count) for one in own])
        guests = _gaps([(one.guest, one.count) for one in own])
        while hosts and guests:
            (host, left), (guest, room) = hosts.pop(0), guests.pop(0)
            count = min(left, room)
            own.append(IdRange(kind, host, guest, count))
            if left > count:
                hosts.insert(0, (host + count, left - count))
            if room > count:
                guests.insert(0, (guest + count, room - count))
        ranges += own
    return IdMap(tuple(ranges))


def _gaps(taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is free beside these ranges, as starts and counts."""
    found: list[tuple[int, int]] = []
    position = 0
    for start, count in sorted(taken):
        if count <= 0 or start < position or start + count > FULL_RANGE:
            raise Invalid("id map", cause="its ranges overlap or leave what an id can be")
        if start > position:
            found.append((position, start - position))
        position = start + count
    return [*found, (position, FULL_RANGE - position)] if position < FULL_RANGE else found


def host_id(idmap: IdMap | None, guest: int, kind: Literal["uid", "gid"]) -> int:
    """The host's id of one inside, the same without a map.

    Raises Invalid for an id that has none, as 4294967295, which stands for "no change" where the kernel wants an id.
    """
    if idmap is not None:
        return idmap.to_host(guest, kind)
    if not 0 <= guest < FULL_RANGE:
        raise Invalid(kind, str(guest), cause=f"it is not between 0 and {FULL_RANGE - 1}")
    return guest


def from_json(text: str) -> IdMap | None:
    """The map in LXD's form; None for "[]" and "", which are no map. Raises Invalid for what is none of these."""
    try:
        entries = msgspec.json.decode(text or "[]", type=list[_Entry])
    except msgspec.MsgspecError as error:
        raise Invalid("id map", text=f"Invalid id map {text!r}") from error
    ranges = [IdRange("uid", one.Hostid, one.Nsid, one.Maprange) for one in entries if one.Isuid]
    ranges += [IdRange("gid", one.Hostid, one.Nsid, one.Maprange) for one in entries if one.Isgid]
    return IdMap(tuple(dict.fromkeys(ranges))) if ranges else None


class _Entry(Struct):
    Isuid: bool
    Isgid: bool
    Hostid: int
    Nsid: int
    Maprange: int


def map_of_process(pid: int) -> IdMap | None:
    """The id map that a process lives in, None for the host's own. Raises OSError when it is gone."""
    ranges: list[IdRange] = []
    kinds: tuple[Kind, ...] = ("uid", "gid")
    for kind in kinds:
        for line in Path(f"/proc/{pid}/{kind}_map").read_text().splitlines():
            guest, host, count = (int(word) for word in line.split())
            if count == FULL_RANGE:
                return None
            ranges.append(IdRange(kind, host, guest, count))
    return IdMap(tuple(ranges))


def host_ranges(subuid: Path = Path("/etc/subuid"), subgid: Path = Path("/etc/subgid")) -> IdMap:
    """The map of unprivileged containers: root's first large range in both files, from id 0.

    Where there are neither such files nor the programs that insist on them, the kernel's full range gives LXD's
    fallback. Raises HostError with the line to add when the files name no range for root.
    """
    uids, gids = _root_range(subuid), _root_range(subgid)
    if uids is None and gids is None and _sees_full_range():
        uids = gids = FALLBACK
    for found, path in ((uids, subuid), (gids, subgid)):
        if found is None:
            raise HostError(
                "id map",
                cause=f"{path} gives root no range of at least {SMALLEST} ids above 0",
                remedy=f"echo root:{FALLBACK[0]}:{_count_to_give()} >> {path}",
            )
    if uids is None or gids is None:  # for the type checker: both were found
        raise HostError("id map")
    if uids == gids:
        return IdMap((IdRange("both", uids[0], 0, uids[1]),))
    return IdMap((IdRange("uid", uids[0], 0, uids[1]), IdRange("gid", gids[0], 0, gids[1])))


def check_delegated(idmap: IdMap, subuid: Path = Path("/etc/subuid"), subgid: Path = Path("/etc/subgid")) -> None:
    """Raise HostError with the lines to add unless root may use every range of a map.

    liblxc leaves the writing of a map to newuidmap and newgidmap where these are installed, which look into the files.
    """
    if not all(_is_setuid(program) for program in ("newuidmap", "newgidmap")):
        return
    missing: dict[tuple[int, int], list[str]] = {}
    files: tuple[tuple[Literal["uid", "gid"], Path], ...] = (("uid", subuid), ("gid", subgid))
    for kind, path in files:
        granted = _merged(_root_entries(path))
        for one in idmap.ranges:
            is_covered = any(start <= one.host and one.host + one.count <= end for start, end in granted)
            if one.kind in ("both", kind) and not is_covered:
                missing.setdefault((one.host, one.count), []).append(str(path))
    if missing:
        where = " and ".join(sorted({path for paths in missing.values() for path in paths}))
        lines = [f"echo root:{host}:{count} | tee -a {' '.join(paths)}" for (host, count), paths in missing.items()]
        raise HostError("id map", cause=f"{where} do not give root all host ids of it", remedy="; ".join(lines))


def _count_to_give() -> int:
    """How many ids from the first of the fallback on there are here: in a container, those of its own map."""
    own = map_of_process(os.getpid())
    end = FULL_RANGE if own is None else max(one.guest + one.count for one in own.ranges)
    return min(FALLBACK[1], max(end - FALLBACK[0], SMALLEST))


def _is_setuid(program: str) -> bool:
    found = shutil.which(program)
    return found is not None and bool(Path(found).stat().st_mode & stat.S_ISUID)


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Starts and ends, those that touch each other joined."""
    merged: list[tuple[int, int]] = []
    for start, count in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], start + count)
        else:
            merged.append((start, start + count))
    return merged


def _root_range(path: Path) -> tuple[int, int] | None:
    """The first usable range of root, None when the file has none. A missing file is None too."""
    for start, count in _root_entries(path):
        if start > 0 and count >= SMALLEST and start + count <= FULL_RANGE:  # 0 is root of the host itself
            return start, count
    return None


def _root_entries(path: Path) -> list[tuple[int, int]]:
    """All ranges of root as (start, count), in the file's order."""
    try:
        fields = [line.split(":") for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    return [
        (int(one[1]), int(one[2]))
        for one in fields
        if len(one) == 3 and one[0] in ("root", "0") and one[1].isdecimal() and one[2].isdecimal()
    ]


def _sees_full_range() -> bool:
    # Where newuidmap is installed, liblxc has it write the map, and it refuses what is not in the files.
    missing = not any(Path(file).exists() for file in ("/etc/subuid", "/etc/subgid")) and not shutil.which("newuidmap")
    fields = Path("/proc/self/uid_map").read_text().split()
    return missing and fields[:3] == ["0", "0", str(FULL_RANGE)]
