"""`lxc monitor`: the server's events as they come."""

from __future__ import annotations

from lightervisor.cli import formats, units
from lightervisor.cli.errors import CommandError
from lightervisor.client import light_json
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print events until the user or the server ends it."""
    form = "pretty" if flags.on("pretty") else flags.text("format")
    if form not in ("json", "pretty", "yaml"):
        raise CommandError(f"Invalid format: {form}")
    if form != "pretty" and flags.text("loglevel"):
        raise CommandError("Log level filtering can only be used with pretty formatting")
    draw = _drawer(form, flags.text("loglevel"))
    server, _ = session.resolve(arguments[0] if arguments else "")
    everywhere = "true" if flags.on("all-projects") else ""
    events = server.websocket(url("events", type=",".join(flags.many("type")), all_projects=everywhere))
    try:
        while (message := events.receive()) is not None:
            event = light_json.loads(message[1])
            event["timestamp"] = units.shorten(str(event.get("timestamp", "")))
            session.write(draw(event))
            session.flush()
    finally:
        events.close()
    raise CommandError(f"{server.name} ended the connection", "the daemon was stopped, or could not be followed")


def _drawer(form: str, level: str) -> Callable[[dict[str, Any]], str]:
    if form == "json":
        return lambda event: formats.json(event, sort=True) + "\n"
    if form == "yaml":
        from lightervisor.cli import yaml_writer

        return lambda event: yaml_writer.dump(event, is_map=True) + "\n\n"
    from lightervisor.cli import log_lines

    return log_lines.drawer(level)
