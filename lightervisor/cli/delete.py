"""`lxc delete`."""

from __future__ import annotations

from lightervisor.cli import power
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import ApiError, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete instances and snapshots; nothing is deleted when one of the names does not exist."""
    targets = [(session.parse(argument)[0], *session.resolve_name(argument)) for argument in arguments]
    found = [_checked(remote, server, name) for remote, server, name in targets]
    for _remote, server, name in targets:
        if flags.on("interactive"):
            _confirm(session, name)
        instance, slash, snapshot = name.partition("/")
        if slash:
            session.run(server, server.delete(url("instances", instance, "snapshots", snapshot)))
        else:
            _delete(session, server, name, found.pop() if len(found) == 1 else None, is_forced=flags.on("force"))


def _checked(remote: str, server: Server, name: str) -> dict[str, Any]:
    instance, slash, snapshot = name.partition("/")
    path = url("instances", instance, "snapshots", snapshot) if slash else url("instances", instance)
    try:
        return server.get(path)
    except ApiError as error:
        what = "instance snapshot" if slash else "instance"
        raise CommandError(f'Failed checking {what} exists "{remote}:{name}": {error.message()}') from error


def _confirm(session: Session, name: str) -> None:
    if session.ask(f"Remove {name} (yes/no): ").strip().lower() not in ("yes", "y"):
        raise CommandError("User aborted delete operation")


def _delete(session: Session, server: Server, name: str, known: dict[str, Any] | None, *, is_forced: bool) -> None:
    instance = known or server.get(url("instances", name))  # while others were deleted it may have been stopped
    if instance.get("status_code") not in (0, 102):
        if not is_forced:
            raise CommandError("The instance is currently running, stop it first or pass --force")
        session.run(server, server.put(url("instances", name, "state"), power.change("stop", force=True)))
        if instance.get("ephemeral"):
            return
    session.run(server, server.delete(url("instances", name)))
