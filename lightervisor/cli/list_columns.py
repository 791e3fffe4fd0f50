"""The columns of `lxc list`: one declaration for each letter, and columns of configuration and device keys."""

from __future__ import annotations

from lightervisor.cli import units
from lightervisor.cli.errors import CommandError
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Instance = dict[str, Any]


# What keys of instances begin with. The server knows the rest of each, and an unset one is an empty column anyway.
_GROUPS = frozenset((
    "boot", "cloud-init", "cluster", "environment", "image", "limits", "linux", "migration", "nvidia", "raw",
    "security", "snapshots", "user", "volatile",
))  # fmt: skip


class Column:
    """One column: header, how a cell is made, and whether that needs the instance's state (slower to ask for)."""

    __slots__ = ("cell", "header", "letter", "needs_state")

    def __init__(self, letter: str, header: str, cell: Callable[[Instance], str], needs_state: bool = False) -> None:
        self.letter, self.header, self.cell, self.needs_state = letter, header, cell, needs_state


def parse(layout: str) -> list[Column]:
    """The columns of `-c`: letters, and `[config:|devices:]key[:header[:width]]`, separated by commas."""
    found: list[Column] = []
    for entry in layout.split(","):
        if not entry:
            raise CommandError(f"Empty column entry (redundant, leading or trailing command) in '{layout}'")
        # A configuration key always has a dot in it; letters never have.
        if "." in entry:
            found.append(_custom(entry))
            continue
        for letter in entry:
            if letter not in COLUMNS:
                raise CommandError(f"Unknown column shorthand char '{letter}' in '{entry}'")
            found.append(COLUMNS[letter])
    return found


def _custom(entry: str) -> Column:
    kind, colon, rest = entry.partition(":")
    if not colon or kind not in ("config", "devices"):
        kind, rest = "config", entry
    key, *more = rest.split(":")
    header = more[0] if more and more[0] else key
    if not key or len(more) > 2:
        raise CommandError(f"Invalid column '{entry}'")
    if kind == "config" and key.partition(".")[0] not in _GROUPS:
        raise CommandError(f"Invalid config key '{key}' in '{entry}'")
    limit = _limit(more[1], header, entry) if len(more) > 1 else -1

    def cell(instance: Instance) -> str:
        value = _device_key(instance, key) if kind == "devices" else _config_key(instance, key)
        return value if limit < 0 else value[:limit]

    return Column("", header, cell)


def _limit(text: str, header: str, entry: str) -> int:
    if not text.lstrip("-").isdecimal() or int(text) < -1:
        raise CommandError(f"Invalid max width (must -1, 0 or a positive integer) '{text}' in '{entry}'")
    return len(header) if int(text) == 0 else int(text)


def _config_key(instance: Instance, key: str) -> str:
    return str(as_map(instance.get("expanded_config")).get(key, ""))


def _device_key(instance: Instance, key: str) -> str:
    device, _, name = key.partition(".")
    return str(as_map(instance.get("expanded_devices")).get(device, {}).get(name, ""))


def _state(instance: Instance) -> dict[str, Any]:
    """The state of an instance that runs (or is frozen); empty for the others."""
    is_active = str(instance.get("status", "")).lower() not in ("stopped", "error", "")
    return as_map(instance.get("state")) if is_active else {}


def addresses(instance: Instance, family: str) -> list[str]:
    """The global addresses of a family as "address (interface)"."""
    found = [
        f"{address['address']} ({name})"
        for name, link in as_map(_state(instance).get("network")).items()
        if link.get("type") != "loopback"
        for address in as_list(link.get("addresses"))
        if address.get("family") == family and address.get("scope") not in ("link", "local")
    ]
    return sorted(found, reverse=True)


def root_disk(instance: Instance) -> tuple[str, dict[str, str]]:
    """The name and settings of the root disk."""
    for name, device in as_map(instance.get("expanded_devices")).items():
        if device.get("type") == "disk" and device.get("path") == "/" and not device.get("source"):
            return name, device
    return "", {}


def _kind(instance: Instance) -> str:
    text = str(instance.get("type") or "container").upper()
    return f"{text} (EPHEMERAL)" if instance.get("ephemeral") else text


def _base_image(instance: Instance) -> str:
    return _config_key(instance, "volatile.base_image")


def _disk(instance: Instance) -> str:
    disk = as_map(as_map(as_map(instance.get("state")).get("disk")).get(root_disk(instance)[0] or "root"))
    return units.iec(int(disk.get("usage", 0))) if disk.get("usage", 0) > 0 else ""


def _memory(instance: Instance) -> str:
    usage = int(as_map(_state(instance).get("memory")).get("usage", 0))
    return units.iec(usage) if usage > 0 else ""


def _memory_share(instance: Instance) -> str:
    usage = int(as_map(_state(instance).get("memory")).get("usage", 0))
    limit = units.parse(_config_key(instance, "limits.memory"))
    return f"{usage * 100 / limit:.1f}%" if usage > 0 and limit else ""


def _processor(instance: Instance) -> str:
    usage = int(as_map(_state(instance).get("cpu")).get("usage", 0))
    return f"{usage // 1_000_000_000}s" if _state(instance) else ""


def _number(key: str) -> Callable[[Instance], str]:
    return lambda instance: str(_state(instance)[key]) if key in _state(instance) else ""


COLUMNS = {
    column.letter: column
    for column in (
        Column("n", "NAME", lambda i: str(i["name"])),
        Column("s", "STATE", lambda i: str(i.get("status", "")).upper()),
        Column("4", "IPV4", lambda i: "\n".join(addresses(i, "inet")), True),
        Column("6", "IPV6", lambda i: "\n".join(addresses(i, "inet6")), True),
        Column("a", "ARCHITECTURE", lambda i: str(i.get("architecture", ""))),
        Column("b", "STORAGE POOL", lambda i: root_disk(i)[1].get("pool", "")),
        Column("c", "CREATED AT", lambda i: units.time(i.get("created_at"))),
        Column("d", "DESCRIPTION", lambda i: str(i.get("description", ""))),
        Column("D", "DISK USAGE", _disk, True),
        Column("e", "PROJECT", lambda i: str(i.get("project") or "default")),
        Column("f", "BASE IMAGE", lambda i: _base_image(i)[:12]),
        Column("F", "BASE IMAGE", _base_image),
        Column("l", "LAST USED AT", lambda i: units.time(i.get("last_used_at"))),
        Column("L", "LOCATION", lambda i: str(i.get("location", ""))),
        Column("m", "MEMORY USAGE", _memory, True),
        Column("M", "MEMORY USAGE%", _memory_share, True),
        Column("N", "PROCESSES", _number("processes"), True),
        Column("p", "PID", _number("pid"), True),
        Column("P", "PROFILES", lambda i: "\n".join(as_list(i.get("profiles")))),
        Column("S", "SNAPSHOTS", lambda i: str(len(as_list(i.get("snapshots")))), True),
        Column("t", "TYPE", _kind),
        Column("u", "CPU USAGE", _processor, True),
    )
}
