"""The comments above a configuration in the editor that tell which keys the server has, by group."""

from __future__ import annotations

from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightervisor.client.light import Server

_WIDTH = 78
_DAEMONS = ("volatile",)


def comments(server: Server) -> str:
    """Lines that begin with `###`, for instances and profiles; none for a server that does not describe its keys."""
    if not server.has("metadata_configuration"):
        return ""
    groups = as_map(as_map(server.get("/1.0/metadata/configuration").get("configs")).get("instance"))
    told = ["### Keys of this server:"]
    for group in sorted(groups):
        if group not in _DAEMONS:
            described = as_list(as_map(groups[group]).get("keys"))
            told += _wrapped(f"{group}:", (name for one in described for name in as_map(one)))
    return "".join(f"{line}\n" for line in told)


def _wrapped(head: str, words: Iterable[str]) -> list[str]:
    lines = [f"###   {head}"]
    for word in words:
        if len(lines[-1]) + len(word) >= _WIDTH:
            lines.append("###    ")
        lines[-1] += f" {word}"
    return lines
