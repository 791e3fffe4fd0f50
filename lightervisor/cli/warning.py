"""`lxc warning`: what the server wants its administrator to know."""

from __future__ import annotations

from lightervisor.cli import formats, units
from lightervisor.cli.errors import CommandError, WrongArguments
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

    Warning = dict[str, Any]

DEFAULT_COLUMNS = "utSscpLl"
_COLUMNS: dict[str, tuple[str, Callable[[Warning], str]]] = {
    "u": ("UUID", lambda one: str(one["uuid"])),
    "t": ("TYPE", lambda one: str(one["type"])),
    "S": ("STATUS", lambda one: str(one["status"]).upper()),
    "s": ("SEVERITY", lambda one: str(one["severity"]).upper()),
    "c": ("COUNT", lambda one: str(one["count"])),
    "p": ("PROJECT", lambda one: str(one["project"])),
    "L": ("LOCATION", lambda one: str(one["location"])),
    "l": ("LAST SEEN", lambda one: units.moment(str(one["last_seen_at"]))),
    "f": ("FIRST SEEN", lambda one: units.moment(str(one["first_seen_at"]))),
}


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List new warnings, or all of them."""
    form, layout = flags.text("format"), flags.text("columns")
    formats.check(form)
    server, _ = session.resolve(arguments[0] if arguments else "")
    letters = _letters(layout)
    if "L" in letters and not server.is_clustered():
        if layout != DEFAULT_COLUMNS:
            raise CommandError("Can't specify column L when not clustered")
        letters.remove("L")
    warnings: list[Warning] = as_list(server.get(url("warnings", recursion=1)))
    if not flags.on("all"):
        warnings = [one for one in warnings if one["status"] == "new"]
    rows = [[_COLUMNS[letter][1](one) for letter in letters] for one in warnings]
    header = [_COLUMNS[letter][0] for letter in letters]
    session.write(formats.render(form, header, formats.sort_rows(rows), warnings))


def _letters(layout: str) -> list[str]:
    found: list[str] = []
    for entry in layout.split(","):
        if not entry:
            raise CommandError(f"Empty column entry (redundant, leading or trailing command) in '{layout}'")
        for letter in entry:
            if letter not in _COLUMNS:
                raise CommandError(f"Unknown column shorthand char '{letter}' in '{entry}'")
            found.append(letter)
    return found


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print one warning as YAML."""
    server, identity = session.resolve_name(arguments[0], "warning")
    session.write(formats.yaml(server.get(url("warnings", identity))))


def acknowledge(session: Session, arguments: list[str], flags: Flags) -> None:
    """Mark a warning as read."""
    server, identity = session.resolve_name(arguments[0], "warning")
    server.put(url("warnings", identity), {"status": "acknowledged"})


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete one warning, or all of a server."""
    if not flags.on("all"):
        if not arguments:
            raise WrongArguments
        server, identity = session.resolve_name(arguments[0], "warning")
        server.delete(url("warnings", identity))
        return
    server, identity = session.resolve(arguments[0] if arguments else "")
    if identity:
        raise CommandError("No need to specify a warning UUID when using --all")
    for path in as_list(server.get(url("warnings"))):
        server.delete(str(path))
