"""`lxc config template`: the template files of an instance."""

from __future__ import annotations

from lightervisor.cli import editor, formats
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


def _read(server: Server, name: str, template: str) -> bytes:
    from lightervisor.cli import answers

    return answers.content(server.request("GET", url("instances", name, "metadata", "templates", path=template)))


def _write(server: Server, name: str, template: str, content: bytes) -> None:
    from lightervisor.cli import answers

    path = url("instances", name, "metadata", "templates", path=template)
    answers.content(server.request("POST", path, {"Content-Type": "application/octet-stream"}, content))


def create(session: Session, arguments: list[str], flags: Flags) -> None:
    """Create an empty template."""
    _ = flags
    server, name = session.resolve_name(arguments[0])
    if arguments[1] in (server.get(url("instances", name, "metadata", "templates")) or ()):
        raise CommandError(f"Template {arguments[1]!r} already exists")
    _write(server, name, arguments[1], b"")


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete a template."""
    _ = flags
    server, name = session.resolve_name(arguments[0])
    server.delete(url("instances", name, "metadata", "templates", path=arguments[1]))


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change a template."""
    _ = flags
    server, name = session.resolve_name(arguments[0])
    text = _read(server, name, arguments[1]).decode() if session.has_terminal() else ""
    editor.edit(session, text, lambda content: _write(server, name, arguments[1], content.encode()), is_yaml=False)


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the templates."""
    form = flags.text("format")
    formats.check(form)
    server, name = session.resolve_name(arguments[0])
    templates: list[str] = as_list(server.get(url("instances", name, "metadata", "templates")))
    session.write(formats.render(form, ["FILENAME"], formats.sort_rows([[t] for t in templates]), templates))


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print a template."""
    _ = flags
    server, name = session.resolve_name(arguments[0])
    session.write(_read(server, name, arguments[1]).decode())
