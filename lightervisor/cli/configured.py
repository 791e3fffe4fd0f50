"""What profiles, networks and storage pools have in common: a description and a configuration.

Both are read, changed and written back whole, with the ETag of what was read, so that nobody's change is lost.
"""

from __future__ import annotations

from lightervisor.cli import editor, formats, pairs
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


class Kind:
    """One kind: its collection in the API, its noun in errors, the fields that PUT takes, the hints above its YAML.

    `more_hints` are those that depend on the server.
    """

    def __init__(
        self,
        collection: str,
        noun: str,
        fields: tuple[str, ...],
        hint: str,
        more_hints: Callable[[Server], str] | None = None,
    ) -> None:
        self.collection, self.noun, self.fields, self.hint = collection, noun, fields, hint
        self.more_hints = more_hints

    def place(self, session: Session, raw: str, member: str = "") -> tuple[Server, str]:
        """The server and the name that `remote:name` means; raises CommandError when the name is empty."""
        server, name = session.resolve(raw, member=member)
        if not name:
            raise CommandError(f"Missing {self.noun} name")
        return server, name

    def path(self, name: str) -> str:
        """Where an object is in the API."""
        return url(self.collection, name)

    def check(self, found: dict[str, Any]) -> None:
        """Refuse to change what cannot be changed; raises CommandError."""


class Configured:
    """One object as the server has it."""

    def __init__(self, session: Session, kind: Kind, raw: str, member: str = "") -> None:
        self.server, self.name = kind.place(session, raw, member)
        self._session, self._kind = session, kind
        self._path = kind.path(self.name)
        found, self._etag = self.server.fetch(self._path)
        self.found: dict[str, Any] = found
        self.config: dict[str, str] = dict(as_map(found.get("config")))

    def set(self, settings: Sequence[str]) -> None:
        """Change keys, given as `key=value …` or as LXD 2.0's `key value`."""
        self._kind.check(self.found)
        self._save({**self.config, **pairs.parse_old_or_new(settings)})

    def unset(self, key: str) -> None:
        """Remove a key: an empty value is LXD's way to say so, and lets the server refuse a key it does not know."""
        self._kind.check(self.found)
        self._save({**self.config, key: ""})

    def write(self, key: str) -> None:
        """Print the value of a key, and nothing when it is unset."""
        if key in self.config:
            print(self.config[key])

    def _save(self, config: dict[str, str]) -> None:
        body = {field: self.found.get(field) for field in self._kind.fields}
        self._session.run(self.server, self.server.put(self._path, {**body, "config": config}, self._etag))


def member(session: Session, raw: str, flags: Flags) -> str:
    """The cluster member of `--target`; raises CommandError when the server is no cluster."""
    target = flags.text("target")
    if target and not session.resolve(raw)[0].is_clustered():
        raise CommandError("To use --target, the destination remote must be a cluster")
    return target


def edit(session: Session, kind: Kind, raw: str) -> None:
    """Change an object as YAML; fields that cannot be changed (name, used_by …) are ignored as LXD does."""
    server, name = kind.place(session, raw)
    path, etag, text = kind.path(name), "", ""
    if session.has_terminal():
        found, etag = server.fetch(path)
        kind.check(found)
        text = kind.hint + (kind.more_hints(server) if kind.more_hints else "") + "\n" + formats.yaml(found)

    def apply(content: str) -> None:
        from lightervisor.cli import yaml_reader

        document = yaml_reader.load_mapping(content)
        body = {field: document[field] for field in kind.fields if document.get(field) is not None}
        session.run(server, server.put(path, body, etag))

    editor.edit(session, text, apply)
