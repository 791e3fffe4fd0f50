"""`lxc storage volume export` and `import`: a custom volume as a file, and back."""

from __future__ import annotations

from lightervisor.cli import backup, storage_volume
from lightervisor.cli.errors import CommandError
from lightervisor.cli.session import require
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session


def export(session: Session, arguments: list[str], flags: Flags) -> None:
    """Write a volume to a file: while it is packed where the server can do that, else from what it keeps."""
    kind, raw = storage_volume.place(session, arguments[0], arguments[1])
    server, name = kind.place(session, raw)
    server = server.scoped_to(member=flags.text("target"))
    require(server, "custom_volume_backup")
    if kind.type != "custom" or "/" in name:
        raise CommandError('Only "custom" volumes can be exported')
    target = arguments[2] if len(arguments) > 2 else backup.DEFAULT
    request: dict[str, Any] = {
        "volume_only": flags.on("volume-only"), "optimized_storage": flags.on("optimized-storage"),
    }  # fmt: skip
    if algorithm := flags.text("compression"):
        request["compression_algorithm"] = algorithm
    if target == "-":
        session.is_quiet = True
    backup.save_from(session, server, f"{kind.path(name)}/backups", request, target, "storage volume")


def import_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Make a volume of a file, or of standard input."""
    server, pool = session.resolve(arguments[0], member=flags.text("target"))
    if not pool:
        raise CommandError("Missing pool name")
    require(server, "custom_volume_backup")
    headers = {"Content-Type": "application/octet-stream"}
    if len(arguments) > 2:
        require(server, "backup_override_name")
        headers["X-LXD-name"] = arguments[2]
    collection = url("storage-pools", pool, "volumes", "custom")
    backup.send(session, server, collection, arguments[1], headers, "Importing custom volume")
