"""`lxc storage volume copy` and `move`: custom volumes and their snapshots, to other pools and servers."""

from __future__ import annotations

from lightervisor.cli.copy_between import MODES, Transfer
from lightervisor.cli.errors import CommandError
from lightervisor.cli.session import require
from lightervisor.cli.storage_volume import Volumes
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


class _Transfer(Transfer):
    """A volume, or a snapshot of one, from one server to another."""

    FAILED = "Failed storage volume creation"

    def __init__(
        self, session: Session, here: Server, path: str, there: Server, request: dict[str, Any], *, is_move: bool
    ) -> None:
        super().__init__(session, here, path, there, request)
        self.LABEL = _label(is_move=is_move)
        self._collection = url("storage-pools", request["pool"], "volumes", "custom")

    def _asks(self, wishes: dict[str, Any]) -> dict[str, Any]:
        return {"volume_only": wishes["volume_only"]}

    def _brings(self, wishes: dict[str, Any]) -> dict[str, Any]:
        return {"volume_only": wishes["volume_only"], "refresh": wishes["refresh"]}


def copy(session: Session, arguments: list[str], flags: Flags) -> None:
    """Copy a volume or a snapshot, or refresh a copy."""
    _carry(session, arguments, flags, is_move=False)
    session.say("Storage volume copied successfully!")


def move(session: Session, arguments: list[str], flags: Flags) -> None:
    """Move a volume, on one server in one step; a copy that is deleted here afterwards else, and for a snapshot."""
    _carry(session, arguments, flags, is_move=True)
    session.say("Storage volume moved successfully!")


def _label(*, is_move: bool) -> str:
    return f"{'Moving' if is_move else 'Copying'} the storage volume"


def _carry(session: Session, arguments: list[str], flags: Flags, *, is_move: bool) -> None:
    remote, pool, name = _place(session, arguments[0], "source")
    other, pool_there, new = _place(session, arguments[1], "target")
    if flags.text("mode") not in MODES:
        raise CommandError(f'Invalid mode "{flags.text("mode")}"', "one of pull, push or relay")
    server = session.server(remote).scoped_to(member=flags.text("target"))
    there = session.server(other).scoped_to(
        project=flags.text("target-project"), member=flags.text("destination-target")
    )
    path = Volumes(pool, "custom").path(name)
    if is_move and remote == other and "/" not in name:
        request: dict[str, Any] = {"name": new, "pool": pool_there}
        if flags.text("target-project"):
            request["project"] = flags.text("target-project")
        session.run(server, server.post(path, request), _label(is_move=True))
        return
    request = _request(server.get(path), pool_there, new)
    _copy(session, (server, pool, name), there, request, flags, is_move=is_move)
    if is_move:
        session.run(server, server.delete(path))


def _request(found: dict[str, Any], pool: str, name: str) -> dict[str, Any]:
    """What creates the copy, but for its source."""
    return {
        "name": name,
        "pool": pool,
        "type": "custom",
        "config": found.get("config") or {},
        "description": found.get("description", ""),
        "content_type": found.get("content_type", "filesystem"),
    }


def _copy(
    session: Session,
    source: tuple[Server, str, str],
    there: Server,
    request: dict[str, Any],
    flags: Flags,
    *,
    is_move: bool,
) -> None:
    server, pool, name = source
    wishes = {
        "volume_only": not is_move and flags.on("volume-only"),
        "refresh": not is_move and flags.on("refresh"),
    }
    if wishes["refresh"]:
        require(there, "custom_volume_refresh")
    if server.name != there.name:
        require(there, "storage_api_remote_volume_handling")
        if "/" in name:
            remedy = "copy the volume, or copy the snapshot to a volume here first"
            raise CommandError("A snapshot of a volume cannot be sent to another server", remedy)
        mode = flags.text("mode") if flags.given("mode") else ""
        path = Volumes(pool, "custom").path(name)
        _Transfer(session, server, path, there, request, is_move=is_move).run(mode, wishes)
        return
    require(there, "storage_api_local_volume_handling")
    request["source"] = {"type": "copy", "name": name, "pool": pool, **wishes}
    if there.project != server.project:
        request["source"]["project"] = server.project or "default"
    collection = url("storage-pools", request["pool"], "volumes", "custom")
    session.run(there, there.post(collection, request), _label(is_move=is_move))


def _place(session: Session, raw: str, which: str) -> tuple[str, str, str]:
    """Remote, pool and volume (with its snapshot) that `[remote:]pool/volume` means."""
    remote, path = session.parse(raw)
    pool, slash, name = path.partition("/")
    if not slash or not pool:
        raise CommandError(f"No storage pool for {which} volume specified")
    if not name:
        raise CommandError("Missing volume name")
    return remote, pool, name
