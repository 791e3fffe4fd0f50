"""What `lxc storage info` prints: a pool's space, and by kind the names of what uses it."""

from __future__ import annotations

from lightervisor.cli import units
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def report(pool: dict[str, Any], space: dict[str, int], *, in_bytes: bool) -> dict[str, Any]:
    """The report on a pool, from the pool and the space among its resources, which is in bytes."""
    used, total = int(space.get("used", 0)), int(space.get("total", 0))
    return {
        "info": {
            "description": pool.get("description", ""),
            "driver": pool["driver"],
            "name": pool["name"],
            "space used": str(used) if in_bytes else units.iec(used),
            "total space": str(total) if in_bytes else units.iec(total),
        },
        "used by": _users([str(address) for address in as_list(pool.get("used_by"))]),
    }


def _users(addresses: list[str]) -> dict[str, list[str]]:
    """The names below each kind: `/1.0/instances/c1?project=p` is `c1 (project "p")` below `instances`."""
    from urllib.parse import parse_qsl, unquote

    found: dict[str, list[str]] = {}
    for address in addresses:
        path, _, query = address.partition("?")
        parts = [unquote(part) for part in path.removeprefix("/1.0/").split("/")]
        # A snapshot is part of what it was taken of, which is named already.
        if len(parts) < 2 or "snapshots" in parts[2:]:
            continue
        kind, name = (parts[2], parts[-1]) if parts[0] == "storage-pools" and len(parts) > 3 else parts[:2]
        about = ", ".join(f'{key} "{value}"' for key, value in parse_qsl(query) if key in ("project", "target"))
        found.setdefault(kind, []).append(f"{name} ({about})" if about else name)
    return found
