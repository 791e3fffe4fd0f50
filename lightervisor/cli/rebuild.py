"""`lxc rebuild`."""

from __future__ import annotations

from lightervisor.cli import image_source, power
from lightervisor.cli.errors import CommandError, WrongArguments
from lightervisor.cli.session import require
from lightervisor.client.light import ApiError, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give an instance the files of an image, or none; with --force one that runs is stopped and started again."""
    is_empty = flags.on("empty")
    if is_empty and len(arguments) > 1:
        raise CommandError("--empty cannot be combined with an image name")
    if not is_empty and len(arguments) != 2:
        raise WrongArguments
    server, name = session.resolve_name(arguments[-1])
    require(server, "instances_rebuild")
    instance: dict[str, Any] = server.get(url("instances", name))
    source: dict[str, Any] = {"type": "none"}
    if not is_empty:
        source, kind = image_source.resolve(session, session.parse(arguments[1])[0], arguments[0])
        if kind and kind != instance.get("type"):
            raise CommandError(f"The image is one of a {kind}, and {name} is a {instance.get('type')}")
    if instance.get("status_code") in (0, 102):
        _rebuild(session, server, name, source)
        return
    if not flags.on("force"):
        raise CommandError("The instance is currently running, stop it first or pass --force")
    if instance.get("ephemeral"):
        raise CommandError(f"{name} is ephemeral: stopping it would delete it")
    session.run(server, server.put(url("instances", name, "state"), power.change("stop", force=True)))
    try:
        _rebuild(session, server, name, source)
    except (ApiError, CommandError):
        _start(session, server, name)  # it is what it was
        raise
    if not is_empty:
        _start(session, server, name)


def _rebuild(session: Session, server: Server, name: str, source: dict[str, Any]) -> None:
    session.run(server, server.post(url("instances", name, "rebuild"), {"source": source}), "Retrieving image")


def _start(session: Session, server: Server, name: str) -> None:
    with power.log_hint(server, name, session.config.default_remote):
        session.run(server, server.put(url("instances", name, "state"), power.change("start")))
