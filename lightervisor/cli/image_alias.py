"""`lxc image alias`: the names of images."""

from __future__ import annotations

from lightervisor.cli import formats, image_list, image_lookup
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_HEADER = ("ALIAS", "FINGERPRINT", "TYPE", "DESCRIPTION")
_SHORT = 12


def create(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give an image of the same server one more name."""
    _ = flags
    remote, alias = session.parse(arguments[0])
    if not alias:
        raise CommandError("Alias name missing")
    server, _ = image_lookup.server_of(session, f"{remote}:")
    target = str(server.get(url("images", arguments[1]))["fingerprint"])
    server.post(url("images", "aliases"), {"name": alias, "target": target})


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete an alias; the image stays."""
    _ = flags
    server, alias = image_lookup.server_of(session, arguments[0])
    if not alias:
        raise CommandError("Alias name missing")
    server.delete(url("images", "aliases", alias))


def rename(session: Session, arguments: list[str], flags: Flags) -> None:
    """Rename an alias."""
    _ = flags
    server, alias = image_lookup.server_of(session, arguments[0])
    if not alias:
        raise CommandError("Alias name missing")
    server.post(url("images", "aliases", alias), {"name": arguments[1]})


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the aliases that hold every filter in their name or fingerprint."""
    form = flags.text("format")
    formats.check(form)
    remote, filters = image_list.place(session, arguments)
    aliases = [alias for alias in _aliases(session, remote) if matches_all(alias, filters)]
    rows = formats.sort_rows(
        [
            [
                str(alias["name"]),
                str(alias["target"])[:_SHORT],
                str(alias.get("type") or "container").upper(),
                str(alias.get("description", "")),
            ]
            for alias in aliases
        ]
    )
    session.write(formats.render(form, _HEADER, rows, aliases))


def _aliases(session: Session, remote: str) -> list[dict[str, Any]]:
    if session.config.remote(remote).get("protocol") in (image_lookup.BUILD, image_lookup.STREAMS):
        return [
            {"description": "", "target": image["fingerprint"], "name": name, "type": image["type"]}
            for image in image_lookup.images(session, remote)
            for name in image_lookup.aliases(image)
        ]
    server, _ = image_lookup.server_of(session, f"{remote}:")
    return as_list(server.get(url("images", "aliases", recursion=1)))


def matches_all(alias: dict[str, Any], filters: list[str]) -> bool:
    """Whether every filter is a part of the alias or of the fingerprint it names."""
    return all(text in str(alias["name"]) or text in str(alias["target"]) for text in filters)
