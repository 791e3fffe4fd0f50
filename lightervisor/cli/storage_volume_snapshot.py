"""`lxc storage volume snapshot` and `restore`: custom volumes as they were."""

from __future__ import annotations

from lightervisor.cli import storage_volume
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.cli.storage_volume import Volumes
    from lightervisor.client.light import Server


def _custom(session: Session, arguments: list[str]) -> tuple[Server, str, Volumes]:
    kind, raw = storage_volume.place(session, arguments[0], arguments[1])
    if kind.type != "custom":
        raise CommandError('Only "custom" volumes can be snapshotted')
    return *kind.place(session, raw), kind


def snapshot(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take a snapshot; the server names it when no name is given."""
    server, name, kind = _custom(session, arguments)
    wanted = arguments[2] if len(arguments) > 2 else ""
    path = kind.path(name)
    if wanted and flags.on("reuse") and server.exists(kind.path(f"{name}/{wanted}")):
        session.run(server, server.delete(kind.path(f"{name}/{wanted}")))
    request: dict[str, Any] = {"name": wanted}
    if flags.on("no-expiry"):
        request["expires_at"] = "0001-01-01T00:00:00Z"
    session.run(server, server.post(f"{path}/snapshots", request))


def restore(session: Session, arguments: list[str], flags: Flags) -> None:
    """Roll a volume back to one of its snapshots."""
    _ = flags
    server, name, kind = _custom(session, arguments)
    found, etag = server.fetch(kind.path(name))
    body = {"config": found["config"], "description": found["description"], "restore": arguments[2]}
    session.run(server, server.put(kind.path(name), body, etag))
