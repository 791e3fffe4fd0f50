"""`lxc operation`: what the server is doing in the background."""

from __future__ import annotations

from lightervisor.cli import formats, units
from lightervisor.client.light import url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_HEADER = ("ID", "TYPE", "DESCRIPTION", "STATUS", "CANCELABLE", "CREATED")


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the operations of the server."""
    form = flags.text("format")
    formats.check(form)
    server, _ = session.resolve(arguments[0] if arguments else "")
    by_status = as_map(server.get(url("operations", recursion=1)))
    operations: list[dict[str, Any]] = [one for found in by_status.values() for one in found]
    header = [*_HEADER, "LOCATION"] if server.is_clustered() else [*_HEADER]
    rows = [_row(operation)[: len(header)] for operation in operations]
    session.write(formats.render(form, header, formats.sort_rows(rows), operations))


def _row(operation: dict[str, Any]) -> list[str]:
    return [
        str(operation["id"]),
        str(operation["class"]).upper(),
        str(operation["description"]),
        str(operation["status"]).upper(),
        "YES" if operation["may_cancel"] else "NO",
        units.time(operation["created_at"]),
        str(operation.get("location", "")),
    ]


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print one operation as YAML."""
    server, identity = session.resolve_name(arguments[0], "operation")
    session.write(formats.yaml(server.get(url("operations", identity))))


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Ask the server to cancel an operation."""
    server, identity = session.resolve_name(arguments[0], "operation")
    server.delete(url("operations", identity))
    session.say(f"Operation {identity} deleted")
