"""`lxc image edit` and the properties of images."""

from __future__ import annotations

from lightervisor.cli import editor, formats, image, image_lookup
from lightervisor.cli.errors import CommandError
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_HELP = """\
### This is a YAML representation of the image properties.
### Any line starting with a '# will be ignored.
###
### Each property is represented by a single line:
### An example would be:
###  description: My custom image

"""
# How LXD 2.0 and the guides of its time spell the keys.
_OLD_KEYS = {"autoupdate": "auto_update"}


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change what of an image can be changed, as YAML."""
    _ = flags
    found = image_lookup.stored(session, arguments[0])
    text = _HELP + formats.yaml(image.writable(found.image)) if session.has_terminal() else ""
    etag = found.etag if session.has_terminal() else ""
    editor.edit(session, text, lambda content: _put(found, content, etag))


def _put(found: image_lookup.Found, content: str, etag: str) -> None:
    from lightervisor.cli import yaml_reader

    found.server.put(found.path, modern(yaml_reader.load_mapping(content)), etag)


def modern(document: dict[str, Any]) -> dict[str, Any]:
    """The document with LXD 2.0's keys spelt as today; where both are given, today's counts."""
    named = {_OLD_KEYS.get(key, key): value for key, value in document.items()}
    named.update({key: value for key, value in document.items() if key in _OLD_KEYS.values()})
    return named


def get_property(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print one property."""
    _ = flags
    properties = as_map(image_lookup.find(session, arguments[0]).get("properties"))
    if arguments[1] not in properties:
        raise CommandError("Property not found")
    print(properties[arguments[1]])


def set_property(session: Session, arguments: list[str], flags: Flags) -> None:
    """Set one property."""
    _ = flags
    _change(session, arguments[0], {arguments[1]: arguments[2]})


def unset_property(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove one property; one that is not set stays so."""
    _ = flags
    _change(session, arguments[0], {arguments[1]: None})


def _change(session: Session, raw: str, changes: dict[str, str | None]) -> None:
    found = image_lookup.stored(session, raw)
    merged = {**as_map(found.image.get("properties")), **changes}
    properties = {key: value for key, value in merged.items() if value is not None}
    found.server.put(found.path, {**image.writable(found.image), "properties": properties}, found.etag)
