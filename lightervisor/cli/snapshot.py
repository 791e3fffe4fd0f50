"""`lxc snapshot` and `lxc restore`."""

from __future__ import annotations

from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session


def snapshot(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take a snapshot; the server names it when no name is given."""
    server, name = session.resolve_name(arguments[0])
    name, slash, wanted = name.partition("/")  # "c1/snap0" is how LXD's first versions had it
    if slash and len(arguments) > 1:
        raise CommandError("Invalid instance name", f"lxc snapshot {name} {arguments[1]}")
    wanted = arguments[1] if len(arguments) > 1 else wanted
    if wanted and flags.on("reuse") and server.exists(url("instances", name, "snapshots", wanted)):
        session.run(server, server.delete(url("instances", name, "snapshots", wanted)))
    request: dict[str, Any] = {"name": wanted, "stateful": flags.on("stateful")}
    if flags.on("no-expiry"):
        request["expires_at"] = "0001-01-01T00:00:00Z"
    session.run(server, server.post(url("instances", name, "snapshots"), request))


def restore(session: Session, arguments: list[str], flags: Flags) -> None:
    """Roll an instance back to one of its snapshots."""
    server, name = session.resolve_name(arguments[0])
    request: dict[str, Any] = {"restore": f"{name}/{arguments[1].rpartition('/')[2]}"}
    if flags.on("stateful"):
        request["stateful"] = True
    session.run(server, server.put(url("instances", name), request))
