"""Maps between the ids inside a container and those of the host. Source: user_namespaces(7), subuid(5), LXD."""

import json
import shutil
from pathlib import Path
from typing import Literal

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
                remedy=f"echo root:1000000:1000000000 >> {path}",
            )
    if uids is None or gids is None:  # for the type checker: both were found
        raise HostError("id map")
    if uids == gids:
        return IdMap((IdRange("both", uids[0], 0, uids[1]),))
    return IdMap((IdRange("uid", uids[0], 0, uids[1]), IdRange("gid", gids[0], 0, gids[1])))


def _root_range(path: Path) -> tuple[int, int] | None:
    """The first usable range of root, None when the file has none. A missing file is None too."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        fields = line.split(":")
        if len(fields) == 3 and fields[0] in ("root", "0") and fields[1].isdecimal() and fields[2].isdecimal():
            start, count = int(fields[1]), int(fields[2])
            if start > 0 and count >= SMALLEST and start + count <= FULL_RANGE:  # 0 is root of the host itself
                return start, count
    return None


def _sees_full_range() -> bool:
    # Where newuidmap is installed, liblxc has it write the map, and it refuses what is not in the files.
    missing = not any(Path(file).exists() for file in ("/etc/subuid", "/etc/subgid")) and not shutil.which("newuidmap")
    fields = Path("/proc/self/uid_map").read_text().split()
    return missing and fields[:3] == ["0", "0", str(FULL_RANGE)]
